// The forward transform of two real frames: window, passes, separation.
#pragma once

#include "passes.hpp"

namespace stemsplit::STEMSPLIT_ISA {

template <int L>
STEMSPLIT_INLINE void store_row(float* row, Vec<L> re, Vec<L> im, bool bypass) {
    const Vec<L> low = shuffle<L, ZipLow>(re, im), high = shuffle<L, ZipHigh>(re, im);
    if (bypass) {
        store_bypass<L>(row, low);
        store_bypass<L>(row + L, high);
    } else {
        store<L>(row, low);
        store<L>(row + L, high);
    }
}

// Z in work -> rows A and B; the halves of the formula in kernel.cpp are in the window.
template <int L>
STEMSPLIT_INLINE void separate(const PlanView& plan, const float* work, float* row_a, float* row_b,
                               bool bypass) {
    const auto legs = static_cast<std::size_t>(plan.passes[plan.pass_count - 1].radix);
    const std::size_t leg = plan.n / legs;
    Point<Vec<L>> above = load_block<L>(work);  // its lane 0 is Z[n - k]: Z[n] = Z[0]
    for (std::size_t j = 0; j < legs / 2; ++j) {
        const float* const up = work + j * plan.leg_pitch;
        const float* const down = work + (legs - 1 - j) * plan.leg_pitch;
        for (std::size_t q = 0; q < leg; q += L) {
            const Point<Vec<L>> z = load_block<L>(up + 2 * q);
            const Point<Vec<L>> below = load_block<L>(down + 2 * (leg - L - q));
            const Vec<L> re = shuffle<L, Mirror>(below.re, above.re);
            const Vec<L> im = shuffle<L, Mirror>(below.im, above.im);
            store_row<L>(row_a, z.re + re, z.im - im, bypass);
            store_row<L>(row_b, z.im + im, re - z.re, bypass);
            row_a += 2 * L;
            row_b += 2 * L;
            above = below;
        }
    }
    const float* const middle = work + legs / 2 * plan.leg_pitch;
    row_a[0] = 2 * middle[0];
    row_b[0] = 2 * middle[L];
    row_a[1] = row_b[1] = 0;
}

template <int L>
void forward(const PlanView& plan, const float* a, const float* b, std::size_t ahead,
             const float* window, float* work, float* row_a, float* row_b, bool bypass) {
    run_first<L>(
        plan,
        [=](auto k, auto radix, std::size_t i) __attribute__((always_inline)) {
            // Frames overlap: only their last part is new.
            if constexpr (k >= radix / 4 * 3) {
                prefetch<L>(a + i + ahead);
                prefetch<L>(b + i + ahead);
            }
            const Vec<L> w = load_aligned<L>(window + i);
            return Point<Vec<L>>{load<L>(a + i) * w, load<L>(b + i) * w};
        },
        work);
    run_middle<L>(plan, work);
    run_last<L>(plan, work,
                [=](auto, auto, std::size_t, std::size_t place, Point<Vec<L>> z)
                    __attribute__((always_inline)) { store_block<L>(work + place, z); });
    separate<L>(plan, work, row_a, row_b, bypass);
}

}  // namespace stemsplit::STEMSPLIT_ISA
