// Which kernels this machine can run, and which one to use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "stemsplit/kernel.hpp"

namespace stemsplit {

inline constexpr int kMaxKernels = 3;

// Best first; never empty.
const std::vector<const Kernel*>& available_kernels();

// The kernel of that name, or the best for "". Throws std::invalid_argument for a name this
// machine does not have.
const Kernel& find_kernel(std::string_view name);

}  // namespace stemsplit
