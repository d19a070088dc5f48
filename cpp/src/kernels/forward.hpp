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

// Separates a joint spectrum block by block of L bins, in rising order; the halves of the formula
// in kernel.cpp are in the window.
template <int L>
class Separation {
  public:
    // Without rows there is nothing to do.
    STEMSPLIT_INLINE Separation(const PlanView& plan, const Joint& joint)
        : legs_(static_cast<std::size_t>(plan.passes[plan.pass_count - 1].radix)),
          leg_(2 * (plan.n / legs_)),
          leg_pitch_(plan.leg_pitch),
          left_(joint.row_a ? leg_ : 0),
          up_(joint.work),
          down_(joint.work + (legs_ - 1) * leg_pitch_ + leg_ - 2 * L),
          above_(joint.work),
          row_a_(joint.row_a),
          row_b_(joint.row_b),
          bypass_(joint.bypass) {}

    STEMSPLIT_INLINE void next() {
        if (opaque(left_) == 0) return;
        block();
        left_ -= 2 * L;
        if (left_ == 0) {
            next_leg();
            left_ = leg_;
        }
    }

    // The bin after all blocks, n / 2.
    STEMSPLIT_INLINE void middle() {
        row_a_[0] = 2 * up_[0];
        row_b_[0] = 2 * up_[L];
        row_a_[1] = row_b_[1] = 0;
    }

    STEMSPLIT_INLINE void all() {
        for (std::size_t leg = 0; leg < legs_ / 2; ++leg) {
            for (std::size_t at = 0; at < leg_; at += 2 * L) block();
            next_leg();
        }
        middle();
    }

  private:
    // Bins k and the points n - k, which are all but a lane of `down` and lane 0 of the block above
    // that; Z[n] = Z[0].
    STEMSPLIT_INLINE void block() {
        const Point<Vec<L>> z = load_block<L>(up_);
        const Point<Vec<L>> below = load_block<L>(down_), above = load_block<L>(above_);
        const Vec<L> re = shuffle<L, Mirror>(below.re, above.re);
        const Vec<L> im = shuffle<L, Mirror>(below.im, above.im);
        const bool bypass = opaque(bypass_) != 0;  // or the loop around may come in two copies
        store_row<L>(row_a_, z.re + re, z.im - im, bypass);
        store_row<L>(row_b_, z.im + im, re - z.re, bypass);
        row_a_ += 2 * L;
        row_b_ += 2 * L;
        above_ = down_;
        up_ += 2 * L;
        down_ -= 2 * L;
    }

    STEMSPLIT_INLINE void next_leg() {
        up_ += leg_pitch_ - leg_;
        down_ -= leg_pitch_ - leg_;
    }

    std::size_t legs_, leg_, leg_pitch_, left_;  // floats of a leg, to the next, left of this one
    const float *up_, *down_, *above_;
    float *row_a_, *row_b_;
    std::size_t bypass_;
};

template <int L>
void separate(const PlanView& plan, const Joint& joint) {
    Separation<L>(plan, joint).all();
}

// Writes past the cache wait long for memory, prefetches as well, and both keep what follows
// waiting once too many are under way. So of long frames the former go between the first pass's
// loads, where arithmetic hides them, and the latter are a pass away from them. The first frames of
// a block, without any before, run through the same code, and so do those with rows elsewhere:
// another copy of it might fuse other products, and so differ in its bits.
template <int L, bool Long>
void forward(const PlanView& plan, const float* a, const float* b, std::size_t ahead,
             const float* window, float* work, const Joint* before) {
    Separation<L> separation(plan, before ? *before : Joint{work, nullptr, nullptr, false});
    run_first<L>(
        plan,
        [&, a, b, window](auto k, auto, std::size_t i) __attribute__((always_inline)) {
            if constexpr (Long && k % 2 == 0) separation.next();
            const Vec<L> w = load_aligned<L>(window + i);
            return Point<Vec<L>>{load<L>(a + i) * w, load<L>(b + i) * w};
        },
        work);
    if (before) separation.middle();
    run_middle<L>(plan, work);
    run_last<L>(plan, work,
                [=](auto j, auto radix, std::size_t i, std::size_t place, Point<Vec<L>> z)
                    __attribute__((always_inline)) {
                        // Frames overlap: only their last part is new.
                        if constexpr (j >= radix / 4 * 3) {
                            prefetch<L>(a + i + ahead);
                            prefetch<L>(b + i + ahead);
                        }
                        store_block<L>(work + place, z);
                    });
}

}  // namespace stemsplit::STEMSPLIT_ISA
