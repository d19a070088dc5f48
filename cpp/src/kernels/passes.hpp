// The passes of one complex transform (decimation in time) over blocks of L lanes, in place.
//
// Work arrays hold blocks of L real parts followed by L imaginary parts. After passes of total
// radix s the array holds, for each p < n / s, the s-point spectrum of points p, p + n/s, ...; the
// next pass joins R of them. The first pass (s = 1) reads with p along the lanes and turns them
// round with a register transpose; from then on lanes run along the spectrum. It also puts each
// spectrum where the later passes want it, so that they work in place and the result is in order.
// See Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, section 1.7.
#pragma once

#include "butterfly.hpp"
#include "stemsplit/kernel.hpp"

namespace stemsplit::STEMSPLIT_ISA {

template <int L>
STEMSPLIT_INLINE Point<Vec<L>> load_block(const float* block) {
    return {load_aligned<L>(block), load_aligned<L>(block + L)};
}

template <int L>
STEMSPLIT_INLINE void store_block(float* block, Point<Vec<L>> value) {
    store_aligned<L>(block, value.re);
    store_aligned<L>(block + L, value.im);
}

// Memory read ahead by two frames hides behind their arithmetic; the processor's own prefetching
// gives up at each page. Into the second cache: the first has no room for what is not yet needed.
template <int Floats>
STEMSPLIT_INLINE void prefetch(const float* from) {
    unroll<(Floats + 15) / 16>([=](auto line) __attribute__((always_inline)) {
        __builtin_prefetch(from + 16 * line, 0, 2);
    });
}

// Where the R legs of a butterfly lie: `apart` elements from each to the next, from `start` on.
template <int R>
class Legs {
  public:
    STEMSPLIT_INLINE Legs(std::size_t start, std::size_t apart) : step_(kGroups * apart) {
        for (std::size_t& group : groups_) {
            group = start;
            start = opaque(start + apart);
        }
    }

    template <class K>
    STEMSPLIT_INLINE std::size_t at(K) const {
        return opaque(groups_[K::value % kGroups] + K::value / kGroups * step_);
    }

  private:
    static constexpr int kGroups = 4;
    std::size_t groups_[kGroups], step_;
};

// Input comes from source(leg, radix, element) -> Point.
template <int L, int R, class Source>
STEMSPLIT_INLINE void first_pass(const PlanView& plan, Source&& source, float* work) {
    const std::size_t apart = plan.n / R;
    for (std::size_t p = 0; p < apart; p += L) {
        const Legs<R> legs(p, apart);
        Point<Vec<L>> x[R];
        butterfly<R>(
            [&](auto k)
                __attribute__((always_inline)) { return source(k, Index<R>{}, legs.at(k)); },
            [&](auto j, Point<Vec<L>> bin) __attribute__((always_inline)) { x[j] = bin; });
        unroll<R / L>([&](auto tile) __attribute__((always_inline)) {
            Vec<L> rows[L];
            float* const corner = work + tile * 2 * L;
            unroll<L>([&](auto j) __attribute__((always_inline)) { rows[j] = x[tile * L + j].re; });
            store_columns<L>(rows, [=, &plan](int j) __attribute__((always_inline)) {
                return corner + plan.order[p + j];
            });
            unroll<L>([&](auto j) __attribute__((always_inline)) { rows[j] = x[tile * L + j].im; });
            store_columns<L>(rows, [=, &plan](int j) __attribute__((always_inline)) {
                return corner + plan.order[p + j] + L;
            });
        });
    }
}

// Joins R spectra, leg_pitch floats apart. Results go to sink(leg, radix, element, its place
// in `work`, Point).
template <int L, int R, class Sink>
STEMSPLIT_INLINE void join(const Pass& pass, const float* work, std::size_t leg_pitch,
                           Sink&& sink) {
    const float* twiddles = pass.twiddles;
    for (std::size_t q = 0; q < pass.stride; q += L) {
        const Legs<R> places(2 * q, leg_pitch), elements(q, pass.stride);
        butterfly<R>(
            [&](auto leg) __attribute__((always_inline)) {
                constexpr int k = decltype(leg)::value;
                const Point<Vec<L>> x = load_block<L>(work + places.at(leg));
                if constexpr (k == 0) return x;
                return x * load_block<L>(twiddles + (k - 1) * 2 * L);
            },
            [&](auto j, Point<Vec<L>> bin) __attribute__((always_inline)) {
                sink(j, Index<R>{}, elements.at(j), places.at(j), bin);
            });
        twiddles += 2 * L * (R - 1);
    }
}

template <int L, class Source>
STEMSPLIT_INLINE void run_first(const PlanView& plan, Source&& source, float* work) {
    if (plan.passes[0].radix == 16) {
        first_pass<L, 16>(plan, source, work);
    } else if constexpr (L <= 8) {
        if (plan.passes[0].radix == 8) {
            first_pass<L, 8>(plan, source, work);
        } else if constexpr (L <= 4) {
            first_pass<L, 4>(plan, source, work);
        }
    }
}

template <int L, class Sink>
STEMSPLIT_INLINE void run_join(const Pass& pass, const float* work, std::size_t leg_pitch,
                               Sink&& sink) {
    switch (pass.radix) {
        case 16:
            return join<L, 16>(pass, work, leg_pitch, sink);
        case 8:
            return join<L, 8>(pass, work, leg_pitch, sink);
        default:
            return join<L, 4>(pass, work, leg_pitch, sink);
    }
}

// All passes but the first and the last, leg by leg of the last: each leg is a transform of its
// own that stays in the nearest cache.
template <int L>
__attribute__((noinline)) void run_middle(const PlanView& plan, float* work) {
    const Pass& last = plan.passes[plan.pass_count - 1];
    for (int leg = 0; leg < last.radix; ++leg) {
        float* const begin = work + static_cast<std::size_t>(leg) * plan.leg_pitch;
        for (int i = 1; i + 1 < plan.pass_count; ++i) {
            const Pass& pass = plan.passes[i];
            const std::size_t leg_pitch = 2 * pass.stride;
            const std::size_t size = leg_pitch * static_cast<std::size_t>(pass.radix);
            for (float* part = begin; part < begin + 2 * last.stride; part += size) {
                run_join<L>(
                    pass, part, leg_pitch,
                    [=](auto, auto, std::size_t, std::size_t place, Point<Vec<L>> z)
                        __attribute__((always_inline)) { store_block<L>(part + place, z); });
            }
        }
    }
}

template <int L, class Sink>
STEMSPLIT_INLINE void run_last(const PlanView& plan, const float* work, Sink&& sink) {
    run_join<L>(plan.passes[plan.pass_count - 1], work, plan.leg_pitch, sink);
}

}  // namespace stemsplit::STEMSPLIT_ISA
