// Windows, and the sum of their squares by which overlap-add is divided.
#pragma once

#include <cstddef>
#include <vector>

namespace stemsplit {

// Periodic Hann window: 0.5 - 0.5 cos(2 pi i / n).
std::vector<float> hann_window(std::size_t n);

// The same for a valid n_fft, computed once and kept for the process's life; takes no lock.
const std::vector<float>& default_window(std::size_t n_fft);

// Where frame f is centred on sample f * hop, sample t meets the squared window of every frame
// that covers it. Slots are the hop samples from where a frame starts to where the next does:
// slot f holds samples f * hop - n/2 + [0, hop). Sums are of doubles, in order of frames.
class SquareSum {
  public:
    // The smallest sum, relative to the largest, that overlap-add will divide by.
    static constexpr double kFloor = 1e-6;

    SquareSum(const std::vector<float>& window, std::size_t hop);

    // The sum where all frames exist, by which every window can be divided beforehand; 1 where it
    // is below the floor.
    double steady(std::size_t i) const { return steady_[i % hop_]; }
    // Whether all frames that could cover this slot exist, so that steady() holds.
    bool is_steady(std::size_t slot, std::size_t frames) const;
    // out[i] = steady(i) / sum at sample i of slot f, of `frames` frames in all.
    void correction(std::size_t slot, std::size_t frames, float* out) const;

    // Whether samples [first, last) all keep above the floor.
    bool covers(std::size_t first, std::size_t last, std::size_t frames) const;
    // Whether every sample does that all its frames cover.
    bool covers_steady() const;

  private:
    double sum(std::size_t slot, std::size_t phase, std::size_t frames) const;
    bool enough(double sum) const { return sum > kFloor * largest_; }

    std::size_t n_, hop_, reach_;  // reach_: frames a sample can meet
    std::vector<double> squares_, steady_;
    double largest_ = 0;
};

}  // namespace stemsplit
