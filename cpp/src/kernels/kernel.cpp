// The kernel table of one instruction set; compiled once for each, in its own namespace.
//
// Two real frames a and b make one complex frame z = a + i b, whose spectrum Z separates again:
// A[k] = (Z[k] + conj Z[n-k]) / 2 and B[k] = (Z[k] - conj Z[n-k]) / 2i. The inverse builds Z from
// both half spectra; exchanging real and imaginary parts before and after turns the forward
// transform into the inverse one.
#include "forward.hpp"
#include "inverse.hpp"

namespace stemsplit::STEMSPLIT_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// Frames shorter than lanes squared do not fill the transposes: half the lanes serve them.
void forward_any(const PlanView& plan, const float* a, const float* b, std::size_t ahead,
                 const float* window, float* work, const Joint* before) {
    if (plan.n >= kLeastLong) {
        return forward<kLanes, true>(plan, a, b, ahead, window, work, before);
    }
    if (plan.lanes == kLanes)
        return forward<kLanes, false>(plan, a, b, ahead, window, work, before);
    if constexpr (kLanes > 4) forward<kLanes / 2, false>(plan, a, b, ahead, window, work, before);
}

void separate_any(const PlanView& plan, const Joint& joint) {
    if (plan.lanes == kLanes) return separate<kLanes>(plan, joint);
    if constexpr (kLanes > 4) separate<kLanes / 2>(plan, joint);
}

void inverse_any(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
                 const float* window, float* work, const Overlap& overlap) {
    if (plan.lanes == kLanes) return inverse<kLanes>(plan, a, b, window, work, overlap);
    if constexpr (kLanes > 4) inverse<kLanes / 2>(plan, a, b, window, work, overlap);
}

void fence() {
    store_fence();
}

}  // namespace

#define STEMSPLIT_TEXT_OF(name) #name
#define STEMSPLIT_TEXT(name) STEMSPLIT_TEXT_OF(name)

extern const Kernel kernel;
const Kernel kernel = {STEMSPLIT_TEXT(STEMSPLIT_ISA),
                       STEMSPLIT_KERNEL_INDEX,
                       kLanes,
                       STEMSPLIT_MAX_LOG2_RADIX,
                       forward_any,
                       separate_any,
                       inverse_any,
                       fence};

}  // namespace stemsplit::STEMSPLIT_ISA
