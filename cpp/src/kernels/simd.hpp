// Registers of L floats through compiler vector extensions: loads, stores, shuffles, transposes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
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

// The same value, of which the compiler knows nothing: an index that went through here stays one
// register for all arrays it indexes. Compilers otherwise keep a pointer for each of the 16 legs of
// a butterfly in each array, which they then spill and reload.
STEMSPLIT_INLINE std::size_t opaque(std::size_t index) {
    asm("" : "+r"(index));
    return index;
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

// a * b + c, rounded once where the machine can. Left to compilers, two copies of one function,
// such as for outputs that are aligned and that are not, may differ in which products they fuse,
// and so in their bits.
template <int L>
STEMSPLIT_INLINE Vec<L> fused(Vec<L> a, Vec<L> b, Vec<L> c) {
#if defined(__AVX512F__)
    if constexpr (L == 16) return (Vec<L>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#endif
#if defined(__FMA__)
    if constexpr (L == 8) return (Vec<L>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    if constexpr (L == 4) return (Vec<L>)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif defined(__aarch64__)
    if constexpr (L == 4) {
        return (Vec<L>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
    }
#endif
    return a * b + c;
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
// Every second lane of both, from the first or the second on, in rising or falling order.
template <int L>
struct Even {
    static constexpr int at(int i) { return 2 * i; }
};
template <int L>
struct Odd {
    static constexpr int at(int i) { return 2 * i + 1; }
};
template <int L>
struct EvenReversed {
    static constexpr int at(int i) { return 2 * (L - 1 - i); }
};
template <int L>
struct OddReversed {
    static constexpr int at(int i) { return 2 * (L - 1 - i) + 1; }
};
template <int L>
struct Reverse {
    static constexpr int at(int i) { return L - 1 - i; }
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

// Lane patterns Even, Odd, EvenReversed and OddReversed: of 8 lanes in two steps, of which each is
// one instruction; compilers find three for these patterns.
template <int L, template <int> class Pattern>
STEMSPLIT_INLINE Vec<L> pick(Vec<L> low, Vec<L> high) {
    if constexpr (L != 8) {
        return shuffle<L, Pattern>(low, high);
    } else {
        typedef double Pairs __attribute__((vector_size(8 * sizeof(float))));
        constexpr int first = Pattern<4>::at(0), second = Pattern<4>::at(1);
        if constexpr (first < 4) {
            const Vec<L> both =
                __builtin_shufflevector(low, high, first, second, first + 8, second + 8, first + 4,
                                        second + 4, first + 12, second + 12);
            return (Vec<L>)__builtin_shufflevector((Pairs)both, (Pairs)both, 0, 2, 1, 3);
        } else {
            const Vec<L> both =
                __builtin_shufflevector(high, low, first - 4, second - 4, first + 4, second + 4,
                                        first, second, first + 8, second + 8);
            return (Vec<L>)__builtin_shufflevector((Pairs)both, (Pairs)both, 2, 0, 3, 1);
        }
    }
}

// Even or odd pairs of 128-bit quarters of both registers, alternating.
template <int L>
struct QuarterZipLow {
    static constexpr int at(int i) { return i / 8 * 4 + i % 4 + (i / 4 % 2) * L; }
};
template <int L>
struct QuarterZipHigh {
    static constexpr int at(int i) { return QuarterZipLow<L>::at(i) + L / 2; }
};

// Stores the low or high half of a register.
template <int L, bool High>
STEMSPLIT_INLINE void store_half(float* to, Vec<L> value) {
    const auto half =
        [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
            return __builtin_shufflevector(value, value, (I + (High ? L / 2 : 0))...);
        };
    store_aligned<L / 2>(to, half(std::make_integer_sequence<int, L / 2>{}));
}

// Stores the columns of L registers of L lanes, column j to to(j).
template <int L, class To>
STEMSPLIT_INLINE void store_columns(const Vec<L>* rows, To&& to) {
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
    // Then whole quarters between the groups. Of 16 lanes the last step is left to the stores,
    // which write halves as fast.
    unroll<4>([&](auto lane) __attribute__((always_inline)) {
        constexpr int j = decltype(lane)::value;
        if constexpr (L == 4) {
            store_aligned<L>(to(j), pairs[j]);
        } else if constexpr (L == 8) {
            store_aligned<L>(to(j), shuffle<L, QuarterEven>(pairs[j], pairs[4 + j]));
            store_aligned<L>(to(4 + j), shuffle<L, QuarterOdd>(pairs[j], pairs[4 + j]));
        } else {
            unroll<2>([&](auto half) __attribute__((always_inline)) {
                constexpr int g = 8 * decltype(half)::value;
                const Vec<L> low = shuffle<L, QuarterZipLow>(pairs[g + j], pairs[g + 4 + j]);
                const Vec<L> high = shuffle<L, QuarterZipHigh>(pairs[g + j], pairs[g + 4 + j]);
                store_half<L, false>(to(j) + g, low);
                store_half<L, true>(to(4 + j) + g, low);
                store_half<L, false>(to(8 + j) + g, high);
                store_half<L, true>(to(12 + j) + g, high);
            });
        }
    });
}

}  // namespace stemsplit::STEMSPLIT_ISA
