// The short-time Fourier transform: centred frames, reflected at the ends.
#pragma once

#include <cstddef>
#include <vector>

#include "stemsplit/kernel.hpp"
#include "stemsplit/memory.hpp"
#include "stemsplit/view.hpp"

namespace stemsplit {

struct Geometry {
    std::size_t n_fft, hop_length;

    std::size_t bins() const { return n_fft / 2 + 1; }
    // Frame f is centred on sample f * hop_length; the last centre is at most `samples`.
    std::size_t frames(std::size_t samples) const { return 1 + samples / hop_length; }
};

// Throws std::invalid_argument unless n_fft is a power of two from 64 to 65536, hop_length is 1
// to n_fft, and the window has n_fft samples.
void check_geometry(const Geometry& geometry, const std::vector<float>& window);

// The part of a signal that is in memory: its samples start at sample `origin` of `total`.
struct SignalPart {
    SignalView<const float> held;
    std::size_t origin, total;
};

class Analysis {
  public:
    Analysis(Geometry geometry, const std::vector<float>& window, const Kernel& kernel);

    const Geometry& geometry() const { return geometry_; }

    // Spectra of frames [first, first + out.frames). Channels go through the transform in pairs;
    // of an odd number the last one goes two frames at a time, so `first` must then be even.
    void run(const SignalPart& signal, std::size_t first, const SpectrumView<Complex>& out,
             int threads) const;

  private:
    void run_block(const SignalPart& signal, std::size_t first, std::size_t channel,
                   std::size_t begin, std::size_t end, const SpectrumView<Complex>& out) const;
    const float* frame(const SignalPart& signal, std::size_t channel, std::size_t frame,
                       float* gathered) const;

    Geometry geometry_;
    const Kernel* kernel_;
    const PlanView* plan_;
    AlignedFloats half_window_;
};

// The whole transform of a signal of at least one sample.
void stft(const Analysis& analysis, SignalView<const float> signal,
          const SpectrumView<Complex>& out, int threads);

}  // namespace stemsplit
