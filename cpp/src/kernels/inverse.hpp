// The inverse of two half spectra: masks and combination fused into the first pass, window and
// overlap-add into the last, so that nothing but the transform itself is ever stored between.
#pragma once

#include "passes.hpp"

namespace stemsplit::STEMSPLIT_ISA {

// L bins of a row from bin k on, masked; in falling order where Reversed.
template <int L, bool Masked, bool Reversed>
STEMSPLIT_INLINE Point<Vec<L>> load_bins(const HalfSpectrum& half, std::size_t k) {
    const Vec<L> low = load<L>(half.row + 2 * k), high = load<L>(half.row + 2 * k + L);
    Point<Vec<L>> bins;
    if constexpr (Reversed) {
        bins = {pick<L, EvenReversed>(low, high), pick<L, OddReversed>(low, high)};
    } else {
        bins = {pick<L, Even>(low, high), pick<L, Odd>(low, high)};
        prefetch<2 * L>(half.row + 2 * k + half.row_ahead);
    }
    if constexpr (Masked) {
        Vec<L> gain = load<L>(half.mask + k);
        if constexpr (Reversed) {
            gain = shuffle<L, Reverse>(gain, gain);
        } else {
            prefetch<L>(half.mask + k + half.mask_ahead);
        }
        bins = {bins.re * gain, bins.im * gain};
    }
    return bins;
}

// Z[i], Z[i + 1], ... with real and imaginary parts exchanged, from rows A and B; Upper where
// i >= n / 2. The imaginary parts of the first and the middle bin mean nothing in the spectrum of
// a real frame and are left out; Edge where i may be one of these.
template <int L, bool Masked, bool Upper, bool Edge>
STEMSPLIT_INLINE Point<Vec<L>> combine(std::size_t n, const HalfSpectrum& half_a,
                                       const HalfSpectrum& half_b, std::size_t i) {
    const std::size_t k = Upper ? n - i - L + 1 : i;
    Point<Vec<L>> a = load_bins<L, Masked, Upper>(half_a, k);
    Point<Vec<L>> b = load_bins<L, Masked, Upper>(half_b, k);
    if constexpr (Edge) {
        if ((i & (n / 2 - 1)) == 0) a.im[0] = b.im[0] = 0;
    }
    if constexpr (Upper) return {b.re - a.im, a.re + b.im};
    return {a.im + b.re, a.re - b.im};
}

template <int L, bool Masked>
__attribute__((noinline)) void combine_first(const PlanView& plan, const HalfSpectrum& a,
                                             const HalfSpectrum& b, float* work) {
    run_first<L>(
        plan,
        [&](auto k, auto radix, std::size_t i) __attribute__((always_inline)) {
            constexpr int half = radix / 2;
            return combine<L, Masked, (k >= half), (k % half == 0)>(plan.n, a, b, i);
        },
        work);
}

// Adds L samples of a frame in its window: fresh where no frame before reaches them, complete where
// no later one will.
template <int L, bool Bypass>
STEMSPLIT_INLINE void overlap_add(bool complete, bool fresh, Vec<L> samples, Vec<L> window,
                                  float* sum, float* out) {
    const Vec<L> value = fresh ? samples * window : fused<L>(samples, window, load_aligned<L>(sum));
    if (!complete) {
        store_aligned<L>(sum, value);
    } else if constexpr (Bypass) {
        store_bypass<L>(out, value);
    } else {
        store<L>(out, value);
    }
}

// For a hop_length that is a multiple of L, so that the samples of a block are all alike. Quarters:
// it is n / 4, so that the compiler knows which legs are complete or fresh.
template <int L, bool Quarters, bool Bypass>
__attribute__((noinline)) void overlap_last(const PlanView& plan, const float* window, float* work,
                                            const Overlap& overlap) {
    const Overlap to = overlap;
    const std::size_t last_hop = plan.n - to.hop_length;
    run_last<L>(plan, work,
                [=](auto leg, auto radix, std::size_t i, std::size_t,
                    Point<Vec<L>> z) __attribute__((always_inline)) {
                    bool complete = leg < radix / 4, fresh = leg >= radix / 4 * 3;
                    if constexpr (!Quarters) {
                        complete = i < to.hop_length;
                        fresh = i >= last_hop;
                    }
                    const Vec<L> w = load_aligned<L>(window + i);
                    overlap_add<L, Bypass>(complete, fresh, z.im, w, to.sum_a + i, to.out_a + i);
                    overlap_add<L, Bypass>(complete, fresh, z.re, w, to.sum_b + i, to.out_b + i);
                });
}

// The same for a whole frame.
STEMSPLIT_INLINE void overlap_frame(std::size_t n, const float* frame, std::size_t hop_length,
                                    float* sum, float* out) {
    const std::size_t last_hop = n - hop_length;
    const auto run = [=](std::size_t begin, std::size_t end, bool fresh) {
        float* const to = begin < hop_length ? out : sum;
        for (std::size_t i = begin; i < end; ++i) to[i] = fresh ? frame[i] : sum[i] + frame[i];
    };
    const std::size_t lower = hop_length < last_hop ? hop_length : last_hop;
    run(0, lower, false);
    run(lower, n - lower, last_hop < hop_length);
    run(n - lower, n, true);
}

// For any other hop_length: the frames are stored first.
template <int L>
__attribute__((noinline)) void overlap_odd(const PlanView& plan, const float* window, float* work,
                                           const Overlap& overlap) {
    const std::size_t n = plan.n;
    const auto legs = static_cast<std::size_t>(plan.passes[plan.pass_count - 1].radix);
    float* const frame_a = work + legs * plan.leg_pitch;
    float* const frame_b = frame_a + n;
    run_last<L>(plan, work,
                [=](auto, auto, std::size_t i, std::size_t, Point<Vec<L>> z)
                    __attribute__((always_inline)) {
                        const Vec<L> w = load_aligned<L>(window + i);
                        store_aligned<L>(frame_a + i, z.im * w);
                        store_aligned<L>(frame_b + i, z.re * w);
                    });
    overlap_frame(n, frame_a, overlap.hop_length, overlap.sum_a, overlap.out_a);
    overlap_frame(n, frame_b, overlap.hop_length, overlap.sum_b, overlap.out_b);
}

template <int L>
void inverse(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
             const float* window, float* work, const Overlap& overlap) {
    (a.mask ? combine_first<L, true> : combine_first<L, false>)(plan, a, b, work);
    run_middle<L>(plan, work);
    auto* last = overlap_odd<L>;
    if (overlap.hop_length * 4 == plan.n) {
        last = overlap.bypass ? overlap_last<L, true, true> : overlap_last<L, true, false>;
    } else if (overlap.hop_length % L == 0) {
        last = overlap.bypass ? overlap_last<L, false, true> : overlap_last<L, false, false>;
    }
    last(plan, window, work, overlap);
}

}  // namespace stemsplit::STEMSPLIT_ISA
