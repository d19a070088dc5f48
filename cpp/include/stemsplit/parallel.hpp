// One bounded pool of threads that waits passively and survives a fork.
#pragma once

#include <cstddef>
#include <functional>

namespace stemsplit {

inline constexpr int kMaxThreads = 256;

// Calls body(0) ... body(tasks - 1), each once, on at most `threads` threads, the caller among
// them; returns when all are done. Tasks are handed out in order, one at a time. The first
// exception is thrown again here, after the tasks under way have ended. May be called by many
// threads at once.
void parallel_for(std::size_t tasks, int threads, const std::function<void(std::size_t)>& body);

}  // namespace stemsplit
