// Plans: how a transform length is cut into passes, and their twiddle factors.
#pragma once

#include "stemsplit/kernel.hpp"

namespace stemsplit {

// The plan of an n-point transform for that kernel, built once and kept for the process's life.
// n is a power of two, 64 to 65536. Safe from any thread; takes no lock, so also after a fork.
const PlanView& plan_for(const Kernel& kernel, std::size_t n);

bool is_valid_n_fft(std::size_t n);

}  // namespace stemsplit
