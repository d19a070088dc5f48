// The transforms fed block by block; the results are those of the one-shot calls, bit for bit.
#pragma once

#include <cstddef>
#include <vector>

#include "stemsplit/istft.hpp"
#include "stemsplit/stft.hpp"

namespace stemsplit {

class StftStream {
  public:
    StftStream(std::size_t channels, Geometry geometry, const std::vector<float>& window,
               const Kernel& kernel);

    std::size_t channels() const { return channels_; }
    const Geometry& geometry() const { return analysis_.geometry(); }

    // Frames that a block of that many samples, or the end, will complete.
    std::size_t ready(std::size_t samples) const;
    std::size_t remaining() const;

    // Takes a block and writes the frames it completes: ready(block.samples) of them. A frame is
    // complete when no later sample can change it.
    void process(SignalView<const float> block, const SpectrumView<Complex>& out, int threads);
    // Writes the remaining frames. Throws std::invalid_argument if there was no sample.
    void finish(const SpectrumView<Complex>& out, int threads);

  private:
    void reserve(std::size_t samples);
    void append(SignalView<const float> block);
    void forget();
    SignalPart part() const;

    std::size_t channels_;
    Analysis analysis_;
    AlignedFloats held_;  // per channel capacity_ floats: samples origin_ to received_
    std::size_t capacity_ = 0;
    std::size_t origin_ = 0, received_ = 0, emitted_ = 0;
    bool finished_ = false;
};

class IstftStream {
  public:
    // Throws std::invalid_argument where hop_length is above n_fft / 2 or overlap-add cannot undo
    // the window at that hop.
    IstftStream(std::size_t stems, std::size_t channels, Geometry geometry,
                const std::vector<float>& window, const Kernel& kernel);

    std::size_t channels() const { return channels_; }
    const Geometry& geometry() const { return synthesis_.geometry(); }

    // Samples that so many frames more, or the end at `length`, will complete.
    std::size_t ready(std::size_t frames) const;
    std::size_t remaining(std::size_t length) const;

    void process(const SpectrumView<const Complex>& spectrum, const MaskView* masks,
                 const StemsView& out, int threads);
    // Writes the remaining(length) samples: as many as `out` has room for.
    void finish(const StemsView& out);

  private:
    std::size_t stems_, channels_;
    Synthesis synthesis_;
    Carry carry_, next_carry_;
    std::size_t frames_ = 0;
    bool finished_ = false;
};

}  // namespace stemsplit
