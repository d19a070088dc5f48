// Registers of L floats through compiler vector extensions: loads, stores, shuffles, transposes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef STEMSPLIT_ISA
#error "STEMSPLIT_ISA names the namespace of this instruction set"
#endif

#define STEMSPLIT_INLINE inline __attribute__((always_inline))

namespace stemsplit::STEMSPLIT_ISA {

template <int L>
struct Register {
    typedef float type __attribute__((vector_size(L * sizeof(float))));
};
template <int L>
using Vec = typename Register<L>::type;

template <int I>
struct Index {
    static constexpr int value = I;
    constexpr operator int() const { return I; }
};

template <class F, int... I>
STEMSPLIT_INLINE void unroll(F&& body, std::integer_sequence<int, I...>) {
    (body(Index<I>{}), ...);
}

// body(Index<0>) ... body(Index<N - 1>), each with its index known to the compiler.
template <int N, class F>
STEMSPLIT_INLINE void unroll(F&& body) {
    unroll(static_cast<F&&>(body), std::make_integer_sequence<int, N>{});
}

template <int L>
STEMSPLIT_INLINE Vec<L> load(const float* from) {
    Vec<L> value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

template <int L>
STEMSPLIT_INLINE Vec<L> load_aligned(const float* from) {
    Vec<L> value;
    __builtin_memcpy(&value, __builtin_assume_aligned(from, sizeof value), sizeof value);
    return value;
}

template <int L>
STEMSPLIT_INLINE void store(float* to, Vec<L> value) {
    __builtin_memcpy(to, &value, sizeof value);
}

template <int L>
STEMSPLIT_INLINE void store_aligned(float* to, Vec<L> value) {
    __builtin_memcpy(__builtin_assume_aligned(to, sizeof value), &value, sizeof value);
}

// Past the cache where the machine can; `to` is aligned to the register.
template <int L>
STEMSPLIT_INLINE void store_bypass(float* to, Vec<L> value) {
#if defined(__AVX512F__)
    if constexpr (L == 16) return _mm512_stream_ps(to, (__m512)value);
#endif
#if defined(__AVX__)
    if constexpr (L == 8) return _mm256_stream_ps(to, (__m256)value);
#endif
#if defined(__SSE2__)
    if constexpr (L == 4) return _mm_stream_ps(to, (__m128)value);
#endif
    store_aligned<L>(to, value);
}

STEMSPLIT_INLINE void store_fence() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

// Lane patterns for two registers side by side: lane i of the result is lane at(i) of both.
template <int L>
struct ZipLow {
    static constexpr int at(int i) { return i / 2 + (i % 2) * L; }
};
template <int L>
struct ZipHigh {
    static constexpr int at(int i) { return L / 2 + i / 2 + (i % 2) * L; }
};
template <int L>
struct Even {
    static constexpr int at(int i) { return 2 * i; }
};
template <int L>
struct Odd {
    static constexpr int at(int i) { return 2 * i + 1; }
};
// (b0, a[L-1], ..., a1): the block before b read backwards from b's first lane.
template <int L>
struct Mirror {
    static constexpr int at(int i) { return L - i; }
};
// Within each 128 bits: interleave singles, then pairs.
template <int L>
struct UnpackLow {
    static constexpr int at(int i) { return i / 4 * 4 + i % 4 / 2 + (i % 2) * L; }
};
template <int L>
struct UnpackHigh {
    static constexpr int at(int i) { return UnpackLow<L>::at(i) + 2; }
};
template <int L>
struct PairLow {
    static constexpr int at(int i) { return i / 4 * 4 + i % 2 + (i % 4 / 2) * L; }
};
template <int L>
struct PairHigh {
    static constexpr int at(int i) { return PairLow<L>::at(i) + 2; }
};
// Even or odd 128-bit quarters of a, then of b.
template <int L>
struct QuarterEven {
    static constexpr int at(int i) {
        const int quarter = i / 4, half = L / 8;
        return (quarter % half * 2) * 4 + i % 4 + (quarter / half) * L;
    }
};
template <int L>
struct QuarterOdd {
    static constexpr int at(int i) { return QuarterEven<L>::at(i) + 4; }
};

template <int L, class Pattern, int... I>
STEMSPLIT_INLINE Vec<L> shuffle(Vec<L> a, Vec<L> b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, Pattern::at(I)...);
}

template <int L, template <int> class Pattern>
STEMSPLIT_INLINE Vec<L> shuffle(Vec<L> a, Vec<L> b) {
    return shuffle<L, Pattern<L>>(a, b, std::make_integer_sequence<int, L>{});
}

// Transposes L registers of L lanes, in place.
template <int L>
STEMSPLIT_INLINE void transpose(Vec<L>* rows) {
    Vec<L> pairs[L];
    // 4 x 4 inside each 128 bits of each group of four registers.
    unroll<L / 4>([&](auto group) __attribute__((always_inline)) {
        constexpr int g = 4 * decltype(group)::value;
        const Vec<L> low01 = shuffle<L, UnpackLow>(rows[g], rows[g + 1]);
        const Vec<L> high01 = shuffle<L, UnpackHigh>(rows[g], rows[g + 1]);
        const Vec<L> low23 = shuffle<L, UnpackLow>(rows[g + 2], rows[g + 3]);
        const Vec<L> high23 = shuffle<L, UnpackHigh>(rows[g + 2], rows[g + 3]);
        pairs[g] = shuffle<L, PairLow>(low01, low23);
        pairs[g + 1] = shuffle<L, PairHigh>(low01, low23);
        pairs[g + 2] = shuffle<L, PairLow>(high01, high23);
        pairs[g + 3] = shuffle<L, PairHigh>(high01, high23);
    });
    // Then whole quarters between the groups.
    unroll<4>([&](auto lane) __attribute__((always_inline)) {
        constexpr int j = decltype(lane)::value;
        if constexpr (L == 4) {
            rows[j] = pairs[j];
        } else if constexpr (L == 8) {
            rows[j] = shuffle<L, QuarterEven>(pairs[j], pairs[4 + j]);
            rows[4 + j] = shuffle<L, QuarterOdd>(pairs[j], pairs[4 + j]);
        } else {
            const Vec<L> even01 = shuffle<L, QuarterEven>(pairs[j], pairs[4 + j]);
            const Vec<L> odd01 = shuffle<L, QuarterOdd>(pairs[j], pairs[4 + j]);
            const Vec<L> even23 = shuffle<L, QuarterEven>(pairs[8 + j], pairs[12 + j]);
            const Vec<L> odd23 = shuffle<L, QuarterOdd>(pairs[8 + j], pairs[12 + j]);
            rows[j] = shuffle<L, QuarterEven>(even01, even23);
            rows[4 + j] = shuffle<L, QuarterEven>(odd01, odd23);
            rows[8 + j] = shuffle<L, QuarterOdd>(even01, even23);
            rows[12 + j] = shuffle<L, QuarterOdd>(odd01, odd23);
        }
    });
}

}  // namespace stemsplit::STEMSPLIT_ISA
