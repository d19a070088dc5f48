// The kernel table of one instruction set; compiled once for each, in its own namespace.
//
// Two real frames a and b make one complex frame z = a + i b, whose spectrum Z separates again:
// A[k] = (Z[k] + conj Z[n-k]) / 2 and B[k] = (Z[k] - conj Z[n-k]) / 2i. The inverse builds Z from
// both half spectra; exchanging real and imaginary parts before and after turns the forward
// transform into the inverse one.
#include "passes.hpp"

namespace stemsplit::STEMSPLIT_ISA {
namespace {

template <int L>
void store_row(float* row, Vec<L> re, Vec<L> im, bool bypass) {
    const Vec<L> low = shuffle<L, ZipLow>(re, im), high = shuffle<L, ZipHigh>(re, im);
    if (bypass) {
        store_bypass<L>(row, low);
        store_bypass<L>(row + L, high);
    } else {
        store<L>(row, low);
        store<L>(row + L, high);
    }
}

// Z in work -> rows A and B; the halves of the formula above are in the window.
template <int L>
STEMSPLIT_INLINE void separate(std::size_t n, const float* work, float* row_a, float* row_b,
                               bool bypass) {
    Point<Vec<L>> above = load_block<L>(work, 0);  // its lane 0 is Z[n - k]: Z[n] = Z[0]
    for (std::size_t k = 0; k < n / 2; k += L) {
        const Point<Vec<L>> z = load_block<L>(work, k);
        const Point<Vec<L>> below = load_block<L>(work, n - k - L);
        const Vec<L> re = shuffle<L, Mirror>(below.re, above.re);
        const Vec<L> im = shuffle<L, Mirror>(below.im, above.im);
        store_row<L>(row_a + 2 * k, z.re + re, z.im - im, bypass);
        store_row<L>(row_b + 2 * k, z.im + im, re - z.re, bypass);
        above = below;
    }
    row_a[n] = 2 * work[n];
    row_b[n] = 2 * work[n + L];
    row_a[n + 1] = row_b[n + 1] = 0;
}

template <int L>
void forward(const PlanView& plan, const float* a, const float* b, const float* window, float* work,
             float* row_a, float* row_b, bool bypass) {
    const std::size_t n = plan.n;
    // The last pass writes the half of work it does not read.
    float* const spectrum = plan.pass_count % 2 ? work : work + 2 * n;
    transform<L>(
        plan, work, work + 2 * n,
        [=](std::size_t i) __attribute__((always_inline)) {
            const Vec<L> w = load_aligned<L>(window + i);
            return Point<Vec<L>>{load<L>(a + i) * w, load<L>(b + i) * w};
        },
        [=](std::size_t i, Point<Vec<L>> z)
            __attribute__((always_inline)) { store_block<L>(spectrum, i, z); });
    separate<L>(n, spectrum, row_a, row_b, bypass);
}

template <int L>
STEMSPLIT_INLINE Point<Vec<L>> load_row(const float* row) {
    const Vec<L> low = load<L>(row), high = load<L>(row + L);
    return {shuffle<L, Even>(low, high), shuffle<L, Odd>(low, high)};
}

// A memory read ahead by one frame hides behind the frame's arithmetic; the processor's own
// prefetching gives up at each page.
template <int Floats>
STEMSPLIT_INLINE void prefetch(const float* from) {
    unroll<(Floats + 15) / 16>(
        [=](auto line) __attribute__((always_inline)) { __builtin_prefetch(from + 16 * line); });
}

// L bins of a row from bin k on, masked.
template <int L, bool Masked>
STEMSPLIT_INLINE Point<Vec<L>> load_masked(const HalfSpectrum& half, std::size_t k) {
    const Point<Vec<L>> bins = load_row<L>(half.row + 2 * k);
    if (half.row_ahead) prefetch<2 * L>(half.row + 2 * k + half.row_ahead);
    if constexpr (!Masked) {
        return bins;
    } else {
        const Vec<L> gain = load<L>(half.mask + k);
        if (half.mask_ahead) prefetch<L>(half.mask + k + half.mask_ahead);
        return {bins.re * gain, bins.im * gain};
    }
}

// Rows A and B, masked -> Z with real and imaginary parts exchanged. The imaginary parts of the
// first and last bin mean nothing in the spectrum of a real frame and are left out.
template <int L, bool Masked>
STEMSPLIT_INLINE void combine(std::size_t n, HalfSpectrum half_a, HalfSpectrum half_b,
                              float* work) {
    Point<Vec<L>> below{};  // the block of the mirrored half, in order of k, before the current
    for (std::size_t k = 0; k < n / 2; k += L) {
        const Point<Vec<L>> a = load_masked<L, Masked>(half_a, k);
        const Point<Vec<L>> b = load_masked<L, Masked>(half_b, k);
        store_block<L>(work, k, {a.im + b.re, a.re - b.im});
        const Point<Vec<L>> mirrored = {b.re - a.im, a.re + b.im};
        if (k) {
            store_block<L>(work, n - k,
                           {shuffle<L, Mirror>(below.re, mirrored.re),
                            shuffle<L, Mirror>(below.im, mirrored.im)});
        }
        below = mirrored;
    }
    const auto real_bin = [](const HalfSpectrum& half, std::size_t k) {
        return half.row[2 * k] * (Masked ? half.mask[k] : 1.0F);
    };
    work[0] = real_bin(half_b, 0);
    work[L] = real_bin(half_a, 0);
    const Vec<L> zero{};
    const Point<Vec<L>> middle = {zero + real_bin(half_b, n / 2), zero + real_bin(half_a, n / 2)};
    store_block<L>(
        work, n / 2,
        {shuffle<L, Mirror>(below.re, middle.re), shuffle<L, Mirror>(below.im, middle.im)});
}

template <int L>
void inverse(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
             const float* window, float* work, float* sum_a, float* sum_b) {
    const std::size_t n = plan.n;
    float* const spectrum = work + 2 * n;
    if (a.mask) {
        combine<L, true>(n, a, b, spectrum);
    } else {
        combine<L, false>(n, a, b, spectrum);
    }
    transform<L>(
        plan, work, spectrum,
        [=](std::size_t i) __attribute__((always_inline)) { return load_block<L>(spectrum, i); },
        [=](std::size_t i, Point<Vec<L>> z) __attribute__((always_inline)) {
            const Vec<L> w = load_aligned<L>(window + i);
            store<L>(sum_a + i, load<L>(sum_a + i) + z.im * w);
            store<L>(sum_b + i, load<L>(sum_b + i) + z.re * w);
        });
}

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// Frames shorter than lanes squared do not fill the transposes: half the lanes serve them.
void forward_any(const PlanView& plan, const float* a, const float* b, const float* window,
                 float* work, float* row_a, float* row_b, bool bypass) {
    if (plan.lanes == kLanes)
        return forward<kLanes>(plan, a, b, window, work, row_a, row_b, bypass);
    if constexpr (kLanes > 4) {
        forward<kLanes / 2>(plan, a, b, window, work, row_a, row_b, bypass);
    }
}

void inverse_any(const PlanView& plan, const HalfSpectrum& a, const HalfSpectrum& b,
                 const float* window, float* work, float* sum_a, float* sum_b) {
    if (plan.lanes == kLanes) return inverse<kLanes>(plan, a, b, window, work, sum_a, sum_b);
    if constexpr (kLanes > 4) {
        inverse<kLanes / 2>(plan, a, b, window, work, sum_a, sum_b);
    }
}

void multiply(const float* values, const float* scale, float* out, std::size_t count, bool bypass) {
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Vec<kLanes> product = load<kLanes>(values + i) * load<kLanes>(scale + i);
        if (bypass) {
            store_bypass<kLanes>(out + i, product);
        } else {
            store<kLanes>(out + i, product);
        }
    }
    for (; i < count; ++i) out[i] = values[i] * scale[i];
}

void fence() {
    store_fence();
}

}  // namespace

#define STEMSPLIT_TEXT_OF(name) #name
#define STEMSPLIT_TEXT(name) STEMSPLIT_TEXT_OF(name)

extern const Kernel kernel;
const Kernel kernel = {STEMSPLIT_TEXT(STEMSPLIT_ISA),
                       STEMSPLIT_KERNEL_INDEX,
                       kLanes,
                       STEMSPLIT_MAX_LOG2_RADIX,
                       forward_any,
                       inverse_any,
                       multiply,
                       fence};

}  // namespace stemsplit::STEMSPLIT_ISA
