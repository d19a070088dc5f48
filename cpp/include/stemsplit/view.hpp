// Strided views over caller-owned arrays: every shape the core reads or writes.
#pragma once

#include <complex>
#include <cstddef>

namespace stemsplit {

using Complex = std::complex<float>;
using Stride = std::ptrdiff_t;  // in elements

// (channels, samples); samples are contiguous.
template <class T>
struct SignalView {
    T* data;
    std::size_t channels, samples;
    Stride channel_stride;

    T* channel(std::size_t c) const { return data + static_cast<Stride>(c) * channel_stride; }
};

// (channels, frames, bins), any strides; the core writes only where bin_stride is 1.
template <class T>
struct SpectrumView {
    T* data;
    std::size_t channels, frames, bins;
    Stride channel_stride, frame_stride, bin_stride;

    T* row(std::size_t c, std::size_t f) const {
        return data + static_cast<Stride>(c) * channel_stride +
               static_cast<Stride>(f) * frame_stride;
    }
    // The same rows without the first `f`.
    SpectrumView from(std::size_t f, std::size_t count) const {
        SpectrumView part = *this;
        part.data = row(0, f);
        part.frames = count;
        return part;
    }
};

class Spread;

// (stems, channels or 1, frames, bins), any strides; one channel serves all. With a spread, it has
// that one's values in place of bins.
struct MaskView {
    const float* data;
    std::size_t stems, channels, frames, bins;
    Stride stem_stride, channel_stride, frame_stride, bin_stride;
    const Spread* spread = nullptr;

    SpectrumView<const float> stem(std::size_t s) const {
        return {data + static_cast<Stride>(s) * stem_stride, channels,     frames,    bins,
                channels == 1 ? 0 : channel_stride,          frame_stride, bin_stride};
    }
    MaskView from(std::size_t f, std::size_t count) const {
        MaskView part = *this;
        part.data = data + static_cast<Stride>(f) * frame_stride;
        part.frames = count;
        return part;
    }
};

// (stems, channels, samples); samples are contiguous.
struct StemsView {
    float* data;
    std::size_t stems, channels, samples;
    Stride stem_stride, channel_stride;

    float* row(std::size_t s, std::size_t c) const {
        return data + static_cast<Stride>(s) * stem_stride +
               static_cast<Stride>(c) * channel_stride;
    }
};

}  // namespace stemsplit
