// Cuts a signal into frames, reflects it at its ends, and hands pairs of frames to the kernel.
#include "stemsplit/stft.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "stemsplit/fft.hpp"
#include "stemsplit/parallel.hpp"

namespace stemsplit {
namespace {

// Frames a task transforms: enough to outweigh handing it out, few enough to share evenly.
constexpr std::size_t kBlockFrames = 32;

// Index of sample i of the endlessly reflected signal (numpy.pad's mode "reflect").
std::size_t reflect(Stride i, std::size_t total) {
    if (total == 1) return 0;
    const auto last = static_cast<Stride>(total) - 1;
    i %= 2 * last;
    if (i < 0) i += 2 * last;
    return static_cast<std::size_t>(i <= last ? i : 2 * last - i);
}

bool rows_on_lines(const SpectrumView<Complex>& out) {
    constexpr Stride line = kCacheLine / sizeof(Complex);
    return reinterpret_cast<std::uintptr_t>(out.data) % kCacheLine == 0 &&
           out.frame_stride % line == 0 && out.channel_stride % line == 0;
}

float* floats(Complex* row) {
    return reinterpret_cast<float*>(row);
}

}  // namespace

void check_geometry(const Geometry& geometry, const std::vector<float>& window) {
    const auto [n_fft, hop_length] = geometry;
    if (!is_valid_n_fft(n_fft)) {
        throw std::invalid_argument("bad n_fft: got " + std::to_string(n_fft) +
                                    ", wanted a power of two, 64 to 65536");
    }
    if (hop_length < 1 || hop_length > n_fft) {
        throw std::invalid_argument("bad hop_length: got " + std::to_string(hop_length) +
                                    ", wanted 1 to n_fft = " + std::to_string(n_fft));
    }
    if (window.size() != n_fft) {
        throw std::invalid_argument("bad window: got " + std::to_string(window.size()) +
                                    " samples, wanted n_fft = " + std::to_string(n_fft));
    }
}

Analysis::Analysis(Geometry geometry, const std::vector<float>& window, const Kernel& kernel)
    : geometry_(geometry), kernel_(&kernel) {
    check_geometry(geometry, window);
    plan_ = &plan_for(kernel, geometry.n_fft);
    half_window_ = allocate_floats(geometry.n_fft);
    std::transform(window.begin(), window.end(), half_window_.get(),
                   [](float w) { return 0.5F * w; });
}

void Analysis::run(const SignalPart& signal, std::size_t first, const SpectrumView<Complex>& out,
                   int threads) const {
    const std::size_t units = (out.channels + 1) / 2;
    const std::size_t blocks = (out.frames + kBlockFrames - 1) / kBlockFrames;
    parallel_for(units * blocks, threads, [&](std::size_t task) {
        const std::size_t begin = task / units * kBlockFrames;
        run_block(signal, first, task % units * 2, begin,
                  std::min(begin + kBlockFrames, out.frames), out);
        kernel_->fence();
    });
}

void Analysis::run_block(const SignalPart& signal, std::size_t first, std::size_t channel,
                         std::size_t begin, std::size_t end,
                         const SpectrumView<Complex>& out) const {
    const std::size_t n = geometry_.n_fft, row = 2 * geometry_.bins();
    const bool delayed = n >= kLeastLong;
    float* const block = thread_scratch((delayed ? 2 : 1) * Carver::padded(work_floats(*plan_)) +
                                        2 * Carver::padded(n) + Carver::padded(row));
    Carver scratch(block);
    float* work = scratch.take(work_floats(*plan_));
    float* other_work = delayed ? scratch.take(work_floats(*plan_)) : nullptr;
    float* const gathered_a = scratch.take(n);
    float* const gathered_b = scratch.take(n);
    float* const unused_row = scratch.take(row);
    const bool bypass = rows_on_lines(out), paired = channel + 1 < out.channels;
    Joint joint{};
    bool waiting = false;
    for (std::size_t f = begin; f < end; f += paired ? 1 : 2) {
        const float* const a = frame(signal, channel, first + f, gathered_a);
        const float* b = gathered_b;
        float* row_b = unused_row;
        if (paired) {
            b = frame(signal, channel + 1, first + f, gathered_b);
            row_b = floats(out.row(channel + 1, f));
        } else if (f + 1 < end) {
            b = frame(signal, channel, first + f + 1, gathered_b);
            row_b = floats(out.row(channel, f + 1));
        } else {
            std::fill_n(gathered_b, n, 0.0F);
        }
        kernel_->forward(*plan_, a, b, (paired ? 2 : 4) * geometry_.hop_length, half_window_.get(),
                         work, waiting ? &joint : nullptr);
        joint = {work, floats(out.row(channel, f)), row_b, bypass};
        waiting = delayed;
        if (delayed) {
            std::swap(work, other_work);
        } else {
            kernel_->separate(*plan_, joint);
        }
    }
    if (waiting) kernel_->separate(*plan_, joint);
}

const float* Analysis::frame(const SignalPart& signal, std::size_t channel, std::size_t frame,
                             float* gathered) const {
    const std::size_t n = geometry_.n_fft;
    const float* const samples = signal.held.channel(channel);
    const auto start =
        static_cast<Stride>(frame * geometry_.hop_length) - static_cast<Stride>(n / 2);
    if (start >= 0 && static_cast<std::size_t>(start) + n <= signal.total) {
        return samples + (start - static_cast<Stride>(signal.origin));
    }
    for (std::size_t i = 0; i < n; ++i) {
        gathered[i] =
            samples[reflect(start + static_cast<Stride>(i), signal.total) - signal.origin];
    }
    return gathered;
}

void stft(const Analysis& analysis, SignalView<const float> signal,
          const SpectrumView<Complex>& out, int threads) {
    analysis.run({signal, 0, signal.samples}, 0, out, threads);
}

}  // namespace stemsplit
