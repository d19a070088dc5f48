// Spectra in bands: the powers a network sees, and the spread of its answers over the bins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "stemsplit/view.hpp"

namespace stemsplit {

// Rows of band_powers: of the left and right channel, of half their sum and half their difference.
inline constexpr std::size_t kSeenChannels = 4;

// Sums of squared magnitudes over the bins [edges[b], edges[b + 1]) of each band, for every frame
// of a spectrum of two channels: `out` is (frames, kSeenChannels, bands), contiguous. Throws
// std::invalid_argument unless edges rise from band to band and end within the spectrum.
void band_powers(const SpectrumView<const Complex>& pair, const std::vector<std::size_t>& edges,
                 float* out, int threads);

// How a row of values becomes a gain for every bin: bin k gets (1 - weights[k]) times value
// below[k] plus weights[k] times the next one.
class Spread {
  public:
    // Throws std::invalid_argument unless there are as many weights as bins, and two values from
    // every below[k] on.
    Spread(std::vector<std::uint32_t> below, std::vector<float> weights, std::size_t values);

    std::size_t bins() const { return below_.size(); }
    std::size_t values() const { return values_; }

    // `stride` is the values', in elements.
    void run(const float* values, Stride stride, float* gains) const;

  private:
    std::vector<std::uint32_t> below_;
    std::vector<float> weights_;
    std::size_t values_;
    std::size_t plain_ = 0;  // so many of the lowest bins have a value of their own
};

}  // namespace stemsplit
