// Forward transforms of 2, 4, 8 and 16 points held in registers, one point a register.
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

// Spectrum of points[0..R-1], in place and in order.
template <int R, class V>
STEMSPLIT_INLINE void butterfly(Point<V>* x) {
    static_assert(R == 2 || R == 4 || R == 8 || R == 16);
    if constexpr (R == 2) {
        const Point<V> first = x[0];
        x[0] = first + x[1];
        x[1] = first - x[1];
    } else if constexpr (R == 4) {
        butterfly4(x[0], x[1], x[2], x[3]);
    } else if constexpr (R == 8) {
        butterfly4(x[0], x[2], x[4], x[6]);
        butterfly4(x[1], x[3], x[5], x[7]);
        const Point<V> even[4] = {x[0], x[2], x[4], x[6]};
        const Point<V> odd[4] = {x[1], rotate16<2>(x[3]), rotate16<4>(x[5]), rotate16<6>(x[7])};
        unroll<4>([&](auto k) __attribute__((always_inline)) {
            x[k] = even[k] + odd[k];
            x[k + 4] = even[k] - odd[k];
        });
    } else {
        unroll<4>([&](auto i) __attribute__((always_inline)) {
            butterfly4(x[i], x[i + 4], x[i + 8], x[i + 12]);
        });
        Point<V> y[16];
        unroll<4>([&](auto k) __attribute__((always_inline)) {
            unroll<4>([&](auto i) __attribute__((always_inline)) {
                y[4 * k + i] = rotate16<decltype(i)::value* decltype(k)::value>(x[i + 4 * k]);
            });
            butterfly4(y[4 * k], y[4 * k + 1], y[4 * k + 2], y[4 * k + 3]);
        });
        unroll<4>([&](auto k) __attribute__((always_inline)) {
            unroll<4>([&](auto j) __attribute__((always_inline)) { x[k + 4 * j] = y[4 * k + j]; });
        });
    }
}

}  // namespace stemsplit::STEMSPLIT_ISA
