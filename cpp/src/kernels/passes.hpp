// The passes of one complex transform (Stockham, decimation in time) over blocks of L lanes.
//
// Work arrays hold blocks of L real parts followed by L imaginary parts. After passes of total
// radix s the array holds, for each p < n / s, the s-point spectrum of points p, p + n/s, ...:
// element p * s + q. The first pass (s = 1) reads with p along the lanes and turns them round
// with a register transpose; from then on lanes run along q and no reordering is left to do.
// See Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, section 1.7.
#pragma once

#include "butterfly.hpp"
#include "stemsplit/kernel.hpp"

namespace stemsplit::STEMSPLIT_ISA {

template <int L>
STEMSPLIT_INLINE Point<Vec<L>> load_block(const float* work, std::size_t element) {
    const float* block = work + 2 * element;
    return {load_aligned<L>(block), load_aligned<L>(block + L)};
}

template <int L>
STEMSPLIT_INLINE void store_block(float* work, std::size_t element, Point<Vec<L>> value) {
    float* block = work + 2 * element;
    store_aligned<L>(block, value.re);
    store_aligned<L>(block + L, value.im);
}

// Input comes from source(element) -> Point.
template <int L, int R, class Source>
STEMSPLIT_INLINE void first_pass(std::size_t n, Source&& source, float* to) {
    const std::size_t apart = n / R;
    for (std::size_t p = 0; p < apart; p += L) {
        Point<Vec<L>> x[R];
        unroll<R>([&](auto k) __attribute__((always_inline)) { x[k] = source(p + k * apart); });
        butterfly<R>(x);
        unroll<R / L>([&](auto tile) __attribute__((always_inline)) {
            Vec<L> rows[L];
            float* corner = to + 2 * (p * R + tile * L);
            unroll<L>([&](auto j) __attribute__((always_inline)) { rows[j] = x[tile * L + j].re; });
            transpose<L>(rows);
            unroll<L>([&](auto j) __attribute__((always_inline)) {
                store_aligned<L>(corner + 2 * R * j, rows[j]);
            });
            unroll<L>([&](auto j) __attribute__((always_inline)) { rows[j] = x[tile * L + j].im; });
            transpose<L>(rows);
            unroll<L>([&](auto j) __attribute__((always_inline)) {
                store_aligned<L>(corner + 2 * R * j + L, rows[j]);
            });
        });
    }
}

// Loads legs k of one butterfly, k * apart elements apart, turned by their twiddles.
template <int L, int R>
STEMSPLIT_INLINE void load_legs(Point<Vec<L>>* x, const float* from, std::size_t element,
                                std::size_t apart, const float* twiddles) {
    x[0] = load_block<L>(from, element);
    unroll<R - 1>([&](auto leg) __attribute__((always_inline)) {
        constexpr int k = decltype(leg)::value + 1;
        x[k] = load_block<L>(from, element + k * apart) * load_block<L>(twiddles, leg * L);
    });
}

template <int L, int R>
STEMSPLIT_INLINE void middle_pass(std::size_t n, const Pass& pass, const float* from, float* to) {
    const std::size_t s = pass.stride, count = n / (R * s), apart = n / R;
    for (std::size_t p = 0; p < count; ++p) {
        for (std::size_t q = 0; q < s; q += L) {
            Point<Vec<L>> x[R];
            load_legs<L, R>(x, from, p * s + q, apart, pass.twiddles + 2 * (R - 1) * q);
            butterfly<R>(x);
            unroll<R>([&](auto j) __attribute__((always_inline)) {
                store_block<L>(to, p * s * R + q + j * s, x[j]);
            });
        }
    }
}

// Results go to sink(element, Point), in order of q.
template <int L, int R, class Sink>
STEMSPLIT_INLINE void last_pass(const Pass& pass, const float* from, Sink&& sink) {
    const std::size_t s = pass.stride;
    for (std::size_t q = 0; q < s; q += L) {
        Point<Vec<L>> x[R];
        load_legs<L, R>(x, from, q, s, pass.twiddles + 2 * (R - 1) * q);
        butterfly<R>(x);
        unroll<R>([&](auto j) __attribute__((always_inline)) { sink(q + j * s, x[j]); });
    }
}

template <int L, class Source>
STEMSPLIT_INLINE void run_first(const PlanView& plan, Source&& source, float* to) {
    if (plan.passes[0].radix == 16) {
        first_pass<L, 16>(plan.n, source, to);
    } else if constexpr (L <= 8) {
        if (plan.passes[0].radix == 8) {
            first_pass<L, 8>(plan.n, source, to);
        } else if constexpr (L <= 4) {
            first_pass<L, 4>(plan.n, source, to);
        }
    }
}

template <int L>
STEMSPLIT_INLINE void run_middle(std::size_t n, const Pass& pass, const float* from, float* to) {
    switch (pass.radix) {
        case 16:
            return middle_pass<L, 16>(n, pass, from, to);
        case 8:
            return middle_pass<L, 8>(n, pass, from, to);
        default:
            return middle_pass<L, 4>(n, pass, from, to);
    }
}

template <int L, class Sink>
STEMSPLIT_INLINE void run_last(const Pass& pass, const float* from, Sink&& sink) {
    switch (pass.radix) {
        case 16:
            return last_pass<L, 16>(pass, from, sink);
        case 8:
            return last_pass<L, 8>(pass, from, sink);
        default:
            return last_pass<L, 4>(pass, from, sink);
    }
}

// The whole transform; `here` and `there` hold 2 n floats each. `source` may read `there`.
template <int L, class Source, class Sink>
STEMSPLIT_INLINE void transform(const PlanView& plan, float* here, float* there, Source&& source,
                                Sink&& sink) {
    run_first<L>(plan, source, here);
    for (int i = 1; i + 1 < plan.pass_count; ++i) {
        run_middle<L>(plan.n, plan.passes[i], here, there);
        float* swap = here;
        here = there;
        there = swap;
    }
    run_last<L>(plan.passes[plan.pass_count - 1], here, sink);
}

}  // namespace stemsplit::STEMSPLIT_ISA
