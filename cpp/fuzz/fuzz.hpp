// What the fuzz targets share: arguments read from the fuzzer's bytes, and a check that ends them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "stemsplit/dispatch.hpp"
#include "stemsplit/stft.hpp"
#include "stemsplit/window.hpp"

namespace stemsplit::fuzz {

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::abort();
}

// Bit for bit, so that NaN equals itself.
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Reads the bytes as what is asked for; zeros when they run out.
class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    std::size_t number(std::size_t least, std::size_t most) {
        std::uint32_t value = 0;
        take(&value, sizeof value);
        return least + value % (most - least + 1);
    }

    // Any bits, so also infinities and NaN; or noise of size 1, whose seed takes fewer bytes.
    std::vector<float> floats(std::size_t count) {
        std::vector<float> values(count);
        if (number(0, 3) == 0) {
            take(values.data(), count * sizeof(float));
            return values;
        }
        auto state = static_cast<std::uint32_t>(number(0, UINT32_MAX - 1));
        for (float& value : values) {
            state = state * 1664525 + 1013904223;
            value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;
        }
        return values;
    }

    // Mostly valid: others are refused at once and teach little.
    Geometry geometry() {
        const std::size_t kind = number(0, 15);
        if (kind == 0) return {number(0, 5000), number(0, 5000)};
        const std::size_t n_fft = std::size_t{64} << number(0, 5);
        const std::size_t parts[] = {1, 2, 4, 8};
        return {n_fft, kind < 8 ? n_fft / parts[number(0, 3)] : number(1, n_fft)};
    }

    std::vector<float> window(std::size_t n_fft) {
        const std::size_t kind = number(0, 7);
        if (kind == 0) return floats(number(0, 100));
        if (kind == 1) return floats(n_fft);
        if (kind == 2) return std::vector<float>(n_fft, 1.0F);
        return hann_window(n_fft);
    }

    const Kernel& kernel() {
        const auto& kernels = available_kernels();
        return *kernels[number(0, kernels.size() - 1)];
    }

  private:
    void take(void* to, std::size_t bytes) {
        const std::size_t count = bytes < size_ ? bytes : size_;
        if (count) std::memcpy(to, data_, count);
        data_ += count;
        size_ -= count;
    }

    const std::uint8_t* data_;
    std::size_t size_;
};

// (rows, columns...) of T with gaps between rows, so that a write outside a row shows.
template <class T>
struct Padded {
    std::size_t rows, columns, pitch;
    std::vector<T> data;

    Padded(std::size_t r, std::size_t c, std::size_t gap)
        : rows(r), columns(c), pitch(c + gap), data(r * pitch, mark()) {}

    static T mark() { return T(12345); }
    bool gaps_are_untouched() const {
        for (std::size_t i = 0; i < data.size(); ++i) {
            if (i % pitch >= columns && data[i] != mark()) return false;
        }
        return true;
    }
    std::vector<T> packed() const {
        std::vector<T> values;
        for (std::size_t r = 0; r < rows; ++r) {
            const auto row = data.begin() + static_cast<std::ptrdiff_t>(r * pitch);
            values.insert(values.end(), row, row + static_cast<std::ptrdiff_t>(columns));
        }
        return values;
    }
};

inline SignalView<const float> signal_view(const std::vector<float>& data, std::size_t channels,
                                           std::size_t samples, std::size_t from = 0,
                                           std::size_t count = SIZE_MAX) {
    return {data.data() + from, channels, count < samples - from ? count : samples - from,
            static_cast<Stride>(samples)};
}

// Rows of a (channels, frames, bins) spectrum.
template <class T>
SpectrumView<T> spectrum_view(T* data, std::size_t channels, std::size_t frames, std::size_t bins,
                              std::size_t pitch) {
    return {data,
            channels,
            frames,
            bins,
            static_cast<Stride>(frames * pitch),
            static_cast<Stride>(pitch),
            1};
}

// A target's body; whatever the core refuses is fine.
template <class Body>
int guarded(Body&& body) {
    try {
        body();
    } catch (const std::invalid_argument&) {
    }
    return 0;
}

}  // namespace stemsplit::fuzz
