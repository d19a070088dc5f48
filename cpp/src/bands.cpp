// Spectra in bands: sums over bins, and values spread over bins.
#include "stemsplit/bands.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "stemsplit/memory.hpp"
#include "stemsplit/parallel.hpp"

namespace stemsplit {
namespace {

constexpr std::size_t kTaskFrames = 32;

// Squared magnitudes of each bin: four rows of `pitch` floats.
void bin_powers(const Complex* left, const Complex* right, std::size_t bins, Stride stride,
                float* rows, std::size_t pitch) {
    float *const l = rows, *const r = l + pitch, *const m = r + pitch, *const s = m + pitch;
    for (std::size_t k = 0; k < bins; ++k) {
        const Complex a = left[static_cast<Stride>(k) * stride];
        const Complex b = right[static_cast<Stride>(k) * stride];
        const float sum_re = a.real() + b.real(), sum_im = a.imag() + b.imag();
        const float rest_re = a.real() - b.real(), rest_im = a.imag() - b.imag();
        l[k] = a.real() * a.real() + a.imag() * a.imag();
        r[k] = b.real() * b.real() + b.imag() * b.imag();
        m[k] = (sum_re * sum_re + sum_im * sum_im) / 4;
        s[k] = (rest_re * rest_re + rest_im * rest_im) / 4;
    }
}

void check_edges(const std::vector<std::size_t>& edges, std::size_t bins) {
    const auto bad = [](const std::string& got, const std::string& wanted) {
        throw std::invalid_argument("edges: got " + got + ", wanted " + wanted);
    };
    if (edges.size() < 2) bad(std::to_string(edges.size()) + " of them", "at least two");
    const auto fall = std::adjacent_find(edges.begin(), edges.end(), std::greater_equal<>());
    if (fall != edges.end()) {
        bad(std::to_string(fall[1]) + " after " + std::to_string(fall[0]), "ones that rise");
    }
    if (edges.back() > bins) {
        bad(std::to_string(edges.back()), "at most the " + std::to_string(bins) + " bins");
    }
}

}  // namespace

void band_powers(const SpectrumView<const Complex>& pair, const std::vector<std::size_t>& edges,
                 float* out, int threads) {
    check_edges(edges, pair.bins);
    const std::size_t bands = edges.size() - 1, bins = edges.back();
    const std::size_t pitch = Carver::padded(bins);
    const std::size_t tasks = (pair.frames + kTaskFrames - 1) / kTaskFrames;
    parallel_for(tasks, threads, [&](std::size_t task) {
        float* const rows = thread_scratch(kSeenChannels * pitch);
        const std::size_t end = std::min((task + 1) * kTaskFrames, pair.frames);
        for (std::size_t f = task * kTaskFrames; f < end; ++f) {
            if (pair.bin_stride == 1) {  // a constant, so that this copy is vectorised
                bin_powers(pair.row(0, f), pair.row(1, f), bins, 1, rows, pitch);
            } else {
                bin_powers(pair.row(0, f), pair.row(1, f), bins, pair.bin_stride, rows, pitch);
            }
            float* const to = out + f * kSeenChannels * bands;
            for (std::size_t b = 0; b < bands; ++b) {
                double sums[kSeenChannels] = {};
                for (std::size_t k = edges[b]; k < edges[b + 1]; ++k) {
                    for (std::size_t c = 0; c < kSeenChannels; ++c) {
                        sums[c] += static_cast<double>(rows[c * pitch + k]);
                    }
                }
                for (std::size_t c = 0; c < kSeenChannels; ++c) {
                    to[c * bands + b] = static_cast<float>(sums[c]);
                }
            }
        }
    });
}

Spread::Spread(std::vector<std::uint32_t> below, std::vector<float> weights, std::size_t values)
    : below_(std::move(below)), weights_(std::move(weights)), values_(values) {
    const auto bad = [&](std::uint32_t value) { return std::size_t{value} + 1 >= values_; };
    if (below_.empty() || below_.size() != weights_.size() ||
        std::any_of(below_.begin(), below_.end(), bad)) {
        throw std::invalid_argument(
            "spread: got " + std::to_string(below_.size()) + " bins with " +
            std::to_string(weights_.size()) + " weights of " + std::to_string(values_) +
            " values, wanted a weight for each bin and two values from each one below on");
    }
    while (plain_ < below_.size() && below_[plain_] == plain_ && weights_[plain_] == 0) ++plain_;
}

void Spread::run(const float* values, Stride stride, float* gains) const {
    if (stride == 1) {
        std::copy_n(values, plain_, gains);
    } else {
        for (std::size_t k = 0; k < plain_; ++k) gains[k] = values[static_cast<Stride>(k) * stride];
    }
    for (std::size_t k = plain_; k < below_.size(); ++k) {
        const float* const value = values + static_cast<Stride>(below_[k]) * stride;
        gains[k] = (1 - weights_[k]) * value[0] + weights_[k] * value[stride];
    }
}

}  // namespace stemsplit
