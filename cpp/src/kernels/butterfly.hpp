// Forward transforms of 4, 8 and 16 points held in registers, one point a register.
#pragma once

#include "simd.hpp"

namespace stemsplit::STEMSPLIT_ISA {

template <class V>
struct Point {
    V re, im;
};

template <class V>
STEMSPLIT_INLINE Point<V> operator+(Point<V> a, Point<V> b) {
    return {a.re + b.re, a.im + b.im};
}
template <class V>
STEMSPLIT_INLINE Point<V> operator-(Point<V> a, Point<V> b) {
    return {a.re - b.re, a.im - b.im};
}
template <class V>
STEMSPLIT_INLINE Point<V> operator*(Point<V> a, Point<V> b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class V>
STEMSPLIT_INLINE Point<V> minus_i_times(Point<V> a) {
    return {a.im, -a.re};
}

// exp(-2 pi i K / 16) times a.
template <int K, class V>
STEMSPLIT_INLINE Point<V> rotate16(Point<V> a) {
    constexpr float kRoot = 0.70710678118654752440f;  // cos(pi / 4)
    constexpr float kCos = 0.92387953251128675613f;   // cos(pi / 8)
    constexpr float kSin = 0.38268343236508977173f;   // sin(pi / 8)
    if constexpr (K == 0) return a;
    if constexpr (K == 1) return {a.re * kCos + a.im * kSin, a.im * kCos - a.re * kSin};
    if constexpr (K == 2) return {(a.re + a.im) * kRoot, (a.im - a.re) * kRoot};
    if constexpr (K == 3) return {a.re * kSin + a.im * kCos, a.im * kSin - a.re * kCos};
    if constexpr (K == 4) return minus_i_times(a);
    if constexpr (K == 6) return {(a.im - a.re) * kRoot, (a.re + a.im) * -kRoot};
    if constexpr (K == 9) return {a.im * -kSin - a.re * kCos, a.re * kSin - a.im * kCos};
}

template <class V>
STEMSPLIT_INLINE void butterfly4(Point<V>& a, Point<V>& b, Point<V>& c, Point<V>& d) {
    const Point<V> sum_even = a + c, difference_even = a - c;
    const Point<V> sum_odd = b + d, difference_odd = b - d;
    a = sum_even + sum_odd;
    c = sum_even - sum_odd;
    b = {difference_even.re + difference_odd.im, difference_even.im - difference_odd.re};
    d = {difference_even.re - difference_odd.im, difference_even.im + difference_odd.re};
}

// Spectrum of R points: fetch(k) gives point k, sink(j, Point) takes bin j. Both are called between
// the stages in the order of need, so that loads, products and sums, which different parts of the
// processor work on, alternate; a compiler hardly reorders so many.
template <int R, class Fetch, class Sink>
STEMSPLIT_INLINE void butterfly(Fetch&& fetch, Sink&& sink) {
    static_assert(R == 4 || R == 8 || R == 16);
    using P = decltype(fetch(Index<0>{}));
    constexpr int kGroups = R / 4;
    P x[kGroups][4];
    unroll<kGroups>([&](auto i) __attribute__((always_inline)) {
        unroll<4>([&](auto a) __attribute__((always_inline)) {
            x[i][a] = fetch(Index<decltype(i)::value + kGroups* decltype(a)::value>{});
        });
        butterfly4(x[i][0], x[i][1], x[i][2], x[i][3]);
    });
    unroll<4>([&](auto bin) __attribute__((always_inline)) {
        constexpr int k = decltype(bin)::value;
        if constexpr (R == 4) {
            sink(Index<k>{}, x[0][k]);
        } else if constexpr (R == 8) {
            const P even = x[0][k], odd = rotate16<2 * k>(x[1][k]);
            sink(Index<k>{}, even + odd);
            sink(Index<k + 4>{}, even - odd);
        } else {
            P y[4] = {x[0][k], rotate16<k>(x[1][k]), rotate16<2 * k>(x[2][k]),
                      rotate16<3 * k>(x[3][k])};
            butterfly4(y[0], y[1], y[2], y[3]);
            sink(Index<k>{}, y[0]);
            sink(Index<k + 4>{}, y[1]);
            sink(Index<k + 8>{}, y[2]);
            sink(Index<k + 12>{}, y[3]);
        }
    });
}

}  // namespace stemsplit::STEMSPLIT_ISA
