// The transforms fed block by block: what is kept between blocks, and when a result is final.
#include "stemsplit/stream.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace stemsplit {
namespace {

void check_open(bool finished) {
    if (finished) {
        throw std::invalid_argument(
            "stream: got a call after finish(), wanted none; make a new stream");
    }
}

}  // namespace

StftStream::StftStream(std::size_t channels, Geometry geometry, const std::vector<float>& window,
                       const Kernel& kernel)
    : channels_(channels), analysis_(geometry, window, kernel) {}

std::size_t StftStream::ready(std::size_t samples) const {
    check_open(finished_);
    const std::size_t received = received_ + samples, half = geometry().n_fft / 2;
    // The first frame reflects sample half, which the signal must have reached.
    if (received <= half) return 0;
    std::size_t complete = geometry().frames(received - half);
    // Of an odd channel two frames share a transform.
    if (channels_ % 2) complete -= complete % 2;
    return complete - emitted_;
}

std::size_t StftStream::remaining() const {
    check_open(finished_);
    if (received_ == 0) {
        throw std::invalid_argument("stream: got 0 samples, wanted at least 1 before finish()");
    }
    return geometry().frames(received_) - emitted_;
}

void StftStream::process(SignalView<const float> block, const SpectrumView<Complex>& out,
                         int threads) {
    check_open(finished_);
    append(block);
    try {
        if (out.frames) analysis_.run(part(), emitted_, out, threads);
    } catch (...) {  // no memory: the block may come once more
        received_ -= block.samples;
        throw;
    }
    emitted_ += out.frames;
    forget();
}

void StftStream::finish(const SpectrumView<Complex>& out, int threads) {
    check_open(finished_);
    if (out.frames) analysis_.run(part(), emitted_, out, threads);
    finished_ = true;
    held_.reset();
}

void StftStream::reserve(std::size_t samples) {
    if (samples <= capacity_) return;
    const std::size_t capacity = Carver::padded(std::max(samples, 2 * capacity_));
    AlignedFloats grown = allocate_floats(checked_product(channels_, capacity));
    for (std::size_t c = 0; c < channels_; ++c) {
        std::copy_n(held_.get() + c * capacity_, received_ - origin_, grown.get() + c * capacity);
    }
    held_ = std::move(grown);
    capacity_ = capacity;
}

void StftStream::append(SignalView<const float> block) {
    const std::size_t held = received_ - origin_;
    reserve(held + block.samples);
    for (std::size_t c = 0; c < channels_; ++c) {
        std::copy_n(block.channel(c), block.samples, held_.get() + c * capacity_ + held);
    }
    received_ += block.samples;
}

// Keeps what the next frame reads and what the end will reflect.
void StftStream::forget() {
    const std::size_t half = geometry().n_fft / 2;
    const std::size_t next = emitted_ * geometry().hop_length;
    const std::size_t needed = std::min(next, received_ - std::min<std::size_t>(received_, 1));
    const std::size_t origin = needed > half ? needed - half : 0;
    if (origin <= origin_) return;
    for (std::size_t c = 0; c < channels_; ++c) {
        float* const samples = held_.get() + c * capacity_;
        std::copy(samples + (origin - origin_), samples + (received_ - origin_), samples);
    }
    origin_ = origin;
}

SignalPart StftStream::part() const {
    return {{held_.get(), channels_, received_ - origin_, static_cast<Stride>(capacity_)},
            origin_,
            received_};
}

IstftStream::IstftStream(std::size_t stems, std::size_t channels, Geometry geometry,
                         const std::vector<float>& window, const Kernel& kernel)
    : stems_(stems),
      channels_(channels),
      synthesis_(geometry, window, stems, channels, kernel),
      carry_(synthesis_.new_carry()),
      next_carry_(synthesis_.new_carry()) {
    // Within half a frame no sample is returned that the signal may turn out not to have.
    if (geometry.hop_length > geometry.n_fft / 2 || !synthesis_.squares().covers_steady()) {
        throw std::invalid_argument(
            "windows do not overlap enough: got hop_length " + std::to_string(geometry.hop_length) +
            ", wanted at most n_fft / 2 and a sum of squared windows above 1e-6 of its maximum "
            "everywhere; use a smaller hop_length or another window");
    }
}

std::size_t IstftStream::ready(std::size_t frames) const {
    check_open(finished_);
    return synthesis_.final_samples(frames_ + frames) - synthesis_.final_samples(frames_);
}

std::size_t IstftStream::remaining(std::size_t length) const {
    check_open(finished_);
    const std::size_t written = synthesis_.final_samples(frames_);
    if (length < written) {
        throw std::invalid_argument("bad length: got " + std::to_string(length) +
                                    ", wanted at least the " + std::to_string(written) +
                                    " samples already returned");
    }
    check_cover(synthesis_, written, length, frames_);
    return length - written;
}

void IstftStream::process(const SpectrumView<const Complex>& spectrum, const MaskView* masks,
                          const StemsView& out, int threads) {
    check_open(finished_);
    if (spectrum.frames == 0) return;
    const std::size_t written = synthesis_.final_samples(frames_);
    check_cover(synthesis_, written, written + out.samples, frames_ + spectrum.frames);
    synthesis_.run(spectrum, masks, frames_, carry_, next_carry_, out, written, threads);
    std::swap(carry_, next_carry_);
    frames_ += spectrum.frames;
}

void IstftStream::finish(const StemsView& out) {
    check_open(finished_);
    synthesis_.finish(frames_, carry_, out, synthesis_.final_samples(frames_));
    finished_ = true;
}

}  // namespace stemsplit
