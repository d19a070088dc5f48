// Masks, inverse transform, window and overlap-add in one go: no masked spectrum is ever stored.
#pragma once

#include <cstddef>
#include <vector>

#include "stemsplit/stft.hpp"
#include "stemsplit/window.hpp"

namespace stemsplit {

// Two outputs that share a complex transform: two channels of a stem, or the odd channel of two
// stems. Without a second one, b repeats a and is thrown away.
struct OutputPair {
    std::size_t stem_a, channel_a, stem_b, channel_b;
    bool has_b;
};

class OutputPairs {
  public:
    OutputPairs(std::size_t stems, std::size_t channels);

    std::size_t size() const { return even_ + odd_; }
    OutputPair operator[](std::size_t pair) const;

  private:
    std::size_t stems_, channels_;
    std::size_t even_, odd_;  // pairs of channels, then pairs of stems' odd channels
};

// Sums of the frames so far that samples still to come will need: n_fft + hop_length floats for
// each output, in the order of the pairs.
class Carry {
  public:
    Carry(std::size_t outputs, const Geometry& geometry);

    float* row(std::size_t output) { return data_.get() + output * pitch_; }
    const float* row(std::size_t output) const { return data_.get() + output * pitch_; }

  private:
    std::size_t pitch_;
    AlignedFloats data_;
};

class Synthesis {
  public:
    // `stems` is 1 and no masks are given where the spectrum itself is inverted.
    Synthesis(Geometry geometry, const std::vector<float>& window, std::size_t stems,
              std::size_t channels, const Kernel& kernel);

    const Geometry& geometry() const { return geometry_; }
    const SquareSum& squares() const { return squares_; }
    Carry new_carry() const { return Carry(2 * pairs_.size(), geometry_); }

    // Samples that no frame from number `frames` on can change.
    std::size_t final_samples(std::size_t frames) const;

    // Adds the frames of `spectrum`, the first of which is number `first`, and writes the samples
    // this makes final to `out`, whose first sample is number `origin`; samples outside `out` are
    // dropped. `before` holds the carry of frames up to `first`, `after` receives the next one.
    void run(const SpectrumView<const Complex>& spectrum, const MaskView* masks, std::size_t first,
             const Carry& before, Carry& after, const StemsView& out, std::size_t origin,
             int threads) const;

    // Writes the samples after those of the last of `frames` frames' run.
    void finish(std::size_t frames, const Carry& carry, const StemsView& out,
                std::size_t origin) const;

  private:
    struct Job;
    class Chunk;

    void emit(const float* sums, std::size_t pair, bool second, const float* scale,
              std::size_t slot, const StemsView& out, std::size_t origin) const;

    Geometry geometry_;
    const Kernel* kernel_;
    const PlanView* plan_;
    AlignedFloats scaled_window_;
    SquareSum squares_;
    OutputPairs pairs_;
};

// The whole inverse, of `spectrum` times each stem's mask or of `spectrum` alone. Throws
// std::invalid_argument where the frames do not cover out.samples samples.
void istft(const Synthesis& synthesis, const SpectrumView<const Complex>& spectrum,
           const MaskView* masks, const StemsView& out, int threads);

// Throws std::invalid_argument unless the squared windows of `frames` frames sum to more than
// SquareSum::kFloor of their maximum at each of samples [first, last).
void check_cover(const Synthesis& synthesis, std::size_t first, std::size_t last,
                 std::size_t frames);

}  // namespace stemsplit
