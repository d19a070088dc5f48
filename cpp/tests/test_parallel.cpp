// The thread pool: every task once, errors handed on, many callers at once, life after a fork.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "stemsplit/parallel.hpp"
#include "support.hpp"

using namespace stemsplit;
using namespace stemsplit::tests;

namespace {

void runs_every_task_once() {
    for (std::size_t tasks : {0UL, 1UL, 2UL, 1000UL}) {
        for (int threads : {1, 2, 7}) {
            std::vector<std::atomic<int>> seen(tasks);
            parallel_for(tasks, threads, [&](std::size_t task) { ++seen[task]; });
            expect(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }),
                   std::to_string(tasks) + " tasks");
        }
    }
}

void hands_errors_on() {
    for (int threads : {1, 3}) {
        expect_refused(
            [&] {
                parallel_for(100, threads, [](std::size_t task) {
                    if (task == 50) throw std::invalid_argument("task 50");
                });
            },
            "an exception in a task");
    }
}

// Many callers, different sizes and kernels: the results are those of one thread.
void serves_many_callers() {
    constexpr std::size_t kCallers = 6;
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (std::size_t i = 0; i < kCallers; ++i) {
        callers.emplace_back([i, &wrong] {
            const auto& kernels = available_kernels();
            const Kernel& kernel = *kernels[i % kernels.size()];
            const std::size_t n = std::size_t{64} << (i % 5), hop = n / 4;
            const Signal x(2, 9000 + i, static_cast<unsigned>(i));
            const Spectrum alone = transform(x, {n, hop}, default_window(n), kernel, 1);
            const Synthesis synthesis({n, hop}, default_window(n), 1, 2, kernel);
            Stems once(1, 2, x.samples);
            istft(synthesis, alone.view(), nullptr, once.view(), 1);
            for (int round = 0; round < 10; ++round) {
                const int threads = 1 + (round + static_cast<int>(i)) % 4;
                const Spectrum again = transform(x, {n, hop}, default_window(n), kernel, threads);
                Stems out(1, 2, x.samples);
                istft(synthesis, alone.view(), nullptr, out.view(), threads);
                if (again.data != alone.data || out.data != once.data) ++wrong;
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    expect(wrong == 0, "many callers at once");
}

void survives_a_fork() {
    std::atomic<int> count{0};
    parallel_for(8, 4, [&](std::size_t) { ++count; });
    const pid_t child = fork();
    if (child == 0) {
        std::atomic<int> mine{0};
        parallel_for(100, 4, [&](std::size_t) { ++mine; });
        _exit(mine == 100 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the pool after a fork");
}

}  // namespace

int main() {
    runs_every_task_once();
    hands_errors_on();
    serves_many_callers();
    survives_a_fork();
    return report();
}
