// Plans: how a transform length is cut into passes, and their twiddle factors.
#pragma once

#include "stemsplit/kernel.hpp"

namespace stemsplit {

// The plan of an n-point transform for that kernel, built once and kept for the process's life.
// n is a power of two, 64 to 65536. Safe from any thread; takes no lock, so also after a fork.
const PlanView& plan_for(const Kernel& kernel, std::size_t n);

bool is_valid_n_fft(std::size_t n);

// Room a kernel needs to work in: the padded transform, and two frames.
inline std::size_t work_floats(const PlanView& plan) {
    const auto legs = static_cast<std::size_t>(plan.passes[plan.pass_count - 1].radix);
    return legs * plan.leg_pitch + 2 * plan.n;
}

}  // namespace stemsplit
