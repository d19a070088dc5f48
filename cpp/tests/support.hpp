// What the tests share: checks, seeded signals, and a float64 reference that knows no FFT.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdio>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "stemsplit/dispatch.hpp"
#include "stemsplit/istft.hpp"
#include "stemsplit/stft.hpp"
#include "stemsplit/window.hpp"

namespace stemsplit::tests {

// float32 has 24 bits: each of up to 16 stages of additions rounds by at most 6e-8, at random.
inline constexpr double kTolerance = 1e-6;

inline int failures = 0;

inline void expect(bool condition, const std::string& what) {
    if (condition) return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

inline void expect_close(double error, const std::string& what) {
    expect(error < kTolerance, what + ": relative error " + std::to_string(error * 1e6) + "e-6");
}

template <class F>
void expect_refused(F&& call, const std::string& what) {
    try {
        call();
    } catch (const std::invalid_argument&) {
        return;
    }
    expect(false, what + " was accepted");
}

inline int report() {
    std::printf("%s\n", failures ? "failed" : "passed");
    return failures ? 1 : 0;
}

inline std::vector<float> noise(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

inline std::vector<float> shares(std::size_t count, unsigned seed) {
    std::vector<float> values = noise(count, seed);
    for (float& value : values) value = std::abs(value) / 4;
    return values;
}

// (channels, samples) in one block.
struct Signal {
    std::size_t channels, samples;
    std::vector<float> data;

    Signal(std::size_t c, std::size_t n, unsigned seed)
        : channels(c), samples(n), data(noise(c * n, seed)) {}
    SignalView<const float> view(std::size_t first = 0, std::size_t count = SIZE_MAX) const {
        return {data.data() + first, channels, std::min(count, samples - first),
                static_cast<Stride>(samples)};
    }
    // Sample i of the reflected signal.
    double at(std::size_t c, std::ptrdiff_t i) const {
        const auto last = static_cast<std::ptrdiff_t>(samples) - 1;
        while (i < 0 || i > last) i = last == 0 ? 0 : i < 0 ? -i : 2 * last - i;
        return static_cast<double>(data[c * samples + static_cast<std::size_t>(i)]);
    }
};

// (channels, frames, bins) in one block.
struct Spectrum {
    std::size_t channels, frames, bins;
    std::vector<Complex> data;

    Spectrum(std::size_t c, std::size_t f, std::size_t k)
        : channels(c), frames(f), bins(k), data(c * f * k) {}
    SpectrumView<Complex> view() {
        return {data.data(),
                channels,
                frames,
                bins,
                static_cast<Stride>(frames * bins),
                static_cast<Stride>(bins),
                1};
    }
    SpectrumView<const Complex> view() const {
        return {data.data(),
                channels,
                frames,
                bins,
                static_cast<Stride>(frames * bins),
                static_cast<Stride>(bins),
                1};
    }
};

inline Spectrum random_spectrum(std::size_t channels, std::size_t frames, std::size_t bins) {
    Spectrum spectrum(channels, frames, bins);
    const std::vector<float> values = noise(2 * spectrum.data.size(), 11);
    for (std::size_t i = 0; i < spectrum.data.size(); ++i) {
        spectrum.data[i] = {values[2 * i], values[2 * i + 1]};
    }
    return spectrum;
}

// (stems, channels, samples) in one block.
struct Stems {
    std::size_t stems, channels, samples;
    std::vector<float> data;

    Stems(std::size_t s, std::size_t c, std::size_t n)
        : stems(s), channels(c), samples(n), data(s * c * n) {}
    StemsView view() {
        return {data.data(),
                stems,
                channels,
                samples,
                static_cast<Stride>(channels * samples),
                static_cast<Stride>(samples)};
    }
};

// exp(-2 pi i k / n) for every k.
inline std::vector<std::complex<double>> roots(std::size_t n) {
    std::vector<std::complex<double>> values(n);
    for (std::size_t k = 0; k < n; ++k) {
        const double turn = static_cast<double>(k) / static_cast<double>(n);
        values[k] = std::polar(1.0, -2 * std::numbers::pi * turn);
    }
    return values;
}

// Some bins of a frame, by the definition of the transform.
inline void reference_bins(const Signal& x, const std::vector<float>& window, std::size_t hop,
                           std::size_t c, std::size_t frame, std::size_t bin_step,
                           std::vector<std::complex<double>>& bins) {
    const std::size_t n = window.size();
    const std::vector<std::complex<double>> root = roots(n);
    const auto start =
        static_cast<std::ptrdiff_t>(frame * hop) - static_cast<std::ptrdiff_t>(n / 2);
    std::vector<double> samples(n);
    for (std::size_t i = 0; i < n; ++i) {
        samples[i] =
            static_cast<double>(window[i]) * x.at(c, start + static_cast<std::ptrdiff_t>(i));
    }
    for (std::size_t bin = 0; bin <= n / 2; bin += bin_step) {
        std::complex<double> sum;
        for (std::size_t i = 0; i < n; ++i) sum += samples[i] * root[i * bin % n];
        bins.push_back(sum);
    }
}

template <class Got, class Wanted>
double relative_error(const std::vector<Got>& got, const std::vector<Wanted>& wanted) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        difference += std::norm(Wanted(got[i]) - wanted[i]);
        size += std::norm(wanted[i]);
    }
    return std::sqrt(difference / size);
}

inline Spectrum transform(const Signal& x, Geometry geometry, const std::vector<float>& window,
                          const Kernel& kernel, int threads = 1) {
    Spectrum spectrum(x.channels, geometry.frames(x.samples), geometry.bins());
    stft(Analysis(geometry, window, kernel), x.view(), spectrum.view(), threads);
    return spectrum;
}

}  // namespace stemsplit::tests
