// The thread pool: callers work on their own tasks and idle workers help.
#include "stemsplit/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace stemsplit {
namespace {

// Waking a thread that sleeps takes as long as a tenth of a millisecond in a virtual machine, which
// is much beside calls of one or two. So whoever waits looks around for so long before it sleeps,
// and lets others run meanwhile: on a busy machine nothing is held up.
constexpr std::chrono::microseconds kAwake{100};

template <class Condition>
void stay_awake_until(const Condition& met) {
    const auto end = std::chrono::steady_clock::now() + kAwake;
    while (!met() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// One call of parallel_for. Lives on the caller's stack; `helpers` keeps it there long enough.
struct Job {
    Job(std::size_t count, const std::function<void(std::size_t)>& function)
        : tasks(count), body(function) {}

    const std::size_t tasks;
    const std::function<void(std::size_t)>& body;
    std::atomic<std::size_t> next{0};
    std::atomic<int> helpers{0};  // changes under the pool's mutex
    std::condition_variable done;
    std::exception_ptr error;  // guarded by error_mutex
    std::mutex error_mutex;

    void work() noexcept {
        for (std::size_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
            try {
                body(task);
            } catch (...) {
                next.store(tasks, std::memory_order_relaxed);
                const std::lock_guard lock(error_mutex);
                if (!error) error = std::current_exception();
            }
        }
    }
};

class Pool {
  public:
    void run(Job& job, int helpers_wanted) {
        {
            const std::lock_guard lock(mutex_);
            grow(helpers_wanted);
            invite(job, helpers_wanted);
            calls_.fetch_add(1, std::memory_order_relaxed);
        }
        for (int i = 0; i < helpers_wanted; ++i) wake_.notify_one();
        job.work();
        std::unique_lock lock(mutex_);
        std::erase(tickets_, &job);
        const auto left_alone = [&] { return job.helpers.load(std::memory_order_relaxed) == 0; };
        if (!left_alone()) {
            lock.unlock();
            stay_awake_until(left_alone);
            lock.lock();  // the last helper may still be at `done`
        }
        job.done.wait(lock, left_alone);
    }

  private:
    // Fewer threads than wanted is slower, not wrong: a system that refuses one is no error.
    void grow(int wanted) {
        try {
            for (; workers_ < wanted; ++workers_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
        } catch (const std::bad_alloc&) {
        }
    }

    // Likewise without the memory for a ticket; those before it stay until the job is done.
    void invite(Job& job, int helpers) {
        try {
            for (int i = 0; i < helpers; ++i) tickets_.push_back(&job);
        } catch (const std::bad_alloc&) {
        }
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return !tickets_.empty(); });
            Job* job = tickets_.front();
            tickets_.pop_front();
            ++job->helpers;
            lock.unlock();
            job->work();
            lock.lock();
            if (--job->helpers == 0) job->done.notify_all();
            if (!tickets_.empty()) continue;
            const std::size_t calls = calls_.load(std::memory_order_relaxed);
            lock.unlock();
            stay_awake_until([&] { return calls_.load(std::memory_order_relaxed) != calls; });
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job*> tickets_;
    int workers_ = 0;
    std::atomic<std::size_t> calls_{0};  // changes under the mutex
};

// Never destroyed: workers wait on it until the process ends. A forked child has no workers and
// perhaps a locked mutex, so it starts over with a new pool.
std::atomic<Pool*> current_pool{nullptr};

#if defined(__unix__) || defined(__APPLE__)
// When the library is loaded: at a first call, a fork meanwhile could leave it half done.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); });
#endif

Pool& pool() {
    if (Pool* existing = current_pool.load(std::memory_order_acquire)) return *existing;
    auto fresh = std::make_unique<Pool>();
    Pool* winner = nullptr;
    if (current_pool.compare_exchange_strong(winner, fresh.get(), std::memory_order_acq_rel)) {
        winner = fresh.release();
    }
    return *winner;
}

}  // namespace

void parallel_for(std::size_t tasks, int threads, const std::function<void(std::size_t)>& body) {
    const auto useful = static_cast<int>(std::min<std::size_t>(tasks, kMaxThreads));
    const int helpers = std::min(threads, useful) - 1;
    Job job(tasks, body);
    if (helpers > 0) {
        pool().run(job, helpers);
    } else {
        job.work();
    }
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace stemsplit
