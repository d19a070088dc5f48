// The table of functions one instruction set provides, in plain types only: the kernels are
// compiled with wider instructions than the rest and must share no inline code with it.
#pragma once

#include <cstddef>

namespace stemsplit {

inline constexpr int kMinLog2 = 6;   // n_fft 64
inline constexpr int kMaxLog2 = 16;  // n_fft 65536
inline constexpr int kMaxPasses = 8;

// One pass of the transform: `radix` butterflies over spectra of `stride` points each.
struct Pass {
    int radix;
    std::size_t stride;
    const float* twiddles;  // per block of lanes, per leg 1..radix-1: lanes re, lanes im
};

struct PlanView {
    std::size_t n;
    int lanes;
    int pass_count;
    Pass passes[kMaxPasses];
};

// A row of interleaved complex numbers and its mask or null; how many floats further on the next
// ones start, 0 where there is none.
struct HalfSpectrum {
    const float *row, *mask;
    std::ptrdiff_t row_ahead, mask_ahead;
};

struct Kernel {
    const char* name;
    int index;           // place in the table of plans
    int max_lanes;       // floats in a register
    int max_log2_radix;  // widest butterfly that measured well

    // Spectra of two real frames. `window` holds half the window; rows are n/2 + 1 interleaved
    // complex numbers; `work` holds 4 n floats, on a cache line; `bypass` writes past the cache
    // and needs rows on cache lines.
    void (*forward)(const PlanView& plan, const float* a, const float* b, const float* window,
                    float* work, float* row_a, float* row_b, bool bypass);

    // Inverts two half spectra, times their masks where not null, times `window` (which holds the
    // window over n), and adds the frames to sum_a and sum_b. Fetches the next rows into
    // the cache meanwhile.
    void (*inverse)(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
                    const float* window, float* work, float* sum_a, float* sum_b);

    // out = values * scale
    void (*multiply)(const float* values, const float* scale, float* out, std::size_t count,
                     bool bypass);

    // Makes writes past the cache visible to other threads.
    void (*fence)();
};

}  // namespace stemsplit
