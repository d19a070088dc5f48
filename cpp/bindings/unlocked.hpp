// The GIL, given up for a while.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace stemsplit::bindings {

// Without the GIL for as long as it lives. Before Python 3.14 a daemon thread that wants the GIL
// back while the interpreter is taken down is ended by an exception; pybind11's own guard does not
// let it through, which ends the whole process with an error, and what it would unwind needs the
// GIL. So the thread stays here until the process is gone, as it does from Python 3.14 on.
class Unlocked {
  public:
    Unlocked() : state_(PyEval_SaveThread()) {}
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
    ~Unlocked() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }

  private:
    PyThreadState* state_;
};

}  // namespace stemsplit::bindings
