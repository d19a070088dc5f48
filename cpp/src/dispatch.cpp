// Asks the processor what it can do and picks a kernel.
#include "stemsplit/dispatch.hpp"

#include <stdexcept>

namespace stemsplit {

#if defined(STEMSPLIT_X86)
namespace avx512 {
extern const Kernel kernel;
}
namespace avx2 {
extern const Kernel kernel;
}
#endif
namespace STEMSPLIT_BASE {
extern const Kernel kernel;
}

const std::vector<const Kernel*>& available_kernels() {
    static const std::vector<const Kernel*> kernels = [] {
        std::vector<const Kernel*> found;
#if defined(STEMSPLIT_X86)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
            found.push_back(&avx512::kernel);
        }
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            found.push_back(&avx2::kernel);
        }
#endif
        found.push_back(&STEMSPLIT_BASE::kernel);
        return found;
    }();
    return kernels;
}

const Kernel& find_kernel(std::string_view name) {
    const auto& kernels = available_kernels();
    if (name.empty()) return *kernels.front();
    std::string names;
    for (const Kernel* kernel : kernels) {
        if (kernel->name == name) return *kernel;
        names += names.empty() ? "" : ", ";
        names += kernel->name;
    }
    throw std::invalid_argument("unknown kernel: got '" + std::string(name) + "', wanted one of " +
                                names + "; set STEMSPLIT_KERNEL to one of them or leave it unset");
}

}  // namespace stemsplit
