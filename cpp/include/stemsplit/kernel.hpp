// The table of functions one instruction set provides, in plain types only: the kernels are
// compiled with wider instructions than the rest and must share no inline code with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stemsplit {

inline constexpr int kMinLog2 = 6;   // n_fft 64
inline constexpr int kMaxLog2 = 16;  // n_fft 65536
inline constexpr int kMaxPasses = 8;
// From this n_fft on spectra are separated while the next frames are transformed. Of shorter frames
// the nearest cache holds all that one transform needs, but not two spectra beside it.
inline constexpr std::size_t kLeastLong = 2048;

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
    std::size_t leg_pitch;       // floats from one leg of the last pass to the next
    const std::uint32_t* order;  // in floats: where the first pass leaves the spectrum of point p
};

// The joint spectrum of two real frames, still to be separated into a row of each: n/2 + 1
// interleaved complex numbers. `bypass` writes past the cache and needs rows on cache lines.
struct Joint {
    const float* work;
    float *row_a, *row_b;
    bool bypass;
};

// A row of interleaved complex numbers and its mask or null; how many floats further on the ones
// to prefetch meanwhile start, 0 where there are none.
struct HalfSpectrum {
    const float *row, *mask;
    std::ptrdiff_t row_ahead, mask_ahead;
};

// Where two frames are added up: `sum` holds the frames before from this one's first sample on,
// n - hop_length floats, of which the first hop_length are complete with this frame and go to
// `out` instead. `bypass` writes them past the cache and needs them on cache lines.
struct Overlap {
    std::size_t hop_length;
    float *sum_a, *sum_b;
    float *out_a, *out_b;
    bool bypass;
};

struct Kernel {
    const char* name;
    int index;           // place in the table of plans
    int max_lanes;       // floats in a register
    int max_log2_radix;  // widest butterfly that measured well

    // Joint spectrum of two real frames, to `work`, which is on a cache line and as large as
    // work_floats() says; the frames to prefetch meanwhile start `ahead` floats further on.
    // `window` holds half the window. Separates `before` meanwhile, if not null, which is in other
    // memory and of long frames.
    void (*forward)(const PlanView& plan, const float* a, const float* b, std::size_t ahead,
                    const float* window, float* work, const Joint* before);
    void (*separate)(const PlanView& plan, const Joint& joint);

    // Inverts two half spectra, times their masks where not null, times `window` (which holds the
    // window over n), and overlaps the frames with those before.
    void (*inverse)(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
                    const float* window, float* work, const Overlap& overlap);

    // Makes writes past the cache visible to other threads.
    void (*fence)();
};

}  // namespace stemsplit
