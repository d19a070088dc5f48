// istft(), with masks, of bins or spread, or without: any geometry, strides, length, output pitch.
#include <optional>

#include "fuzz.hpp"
#include "stemsplit/bands.hpp"
#include "stemsplit/istft.hpp"

using namespace stemsplit;
using namespace stemsplit::fuzz;

namespace {

// Any values in any order with any weights; sometimes one that is not there.
Spread spread_of(Input& input, std::size_t bins, std::size_t values) {
    const std::size_t start = input.number(0, values), step = input.number(0, values);
    const std::size_t choices = values - (values > 1 && input.number(0, 7) ? 1 : 0);
    std::vector<std::uint32_t> below(bins);
    for (std::size_t k = 0; k < bins; ++k) {
        below[k] = static_cast<std::uint32_t>((start + k * step) % choices);
    }
    return {std::move(below), input.floats(bins), values};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return guarded([&] {
        Input input(data, size);
        const Geometry geometry = input.geometry();
        const std::vector<float> window = input.window(geometry.n_fft);
        const std::size_t channels = input.number(1, 4), frames = input.number(0, 70);
        const std::size_t stems = input.number(0, 3), outputs = stems ? stems : 1;
        const std::size_t bins = geometry.bins();
        std::optional<Spread> spread;
        if (stems && input.number(0, 1)) spread = spread_of(input, bins, input.number(1, bins));
        const std::size_t width = spread ? spread->values() : bins, plane = frames * bins;
        const Synthesis synthesis(geometry, window, outputs, channels, input.kernel());
        const std::vector<float> parts = input.floats(2 * channels * plane);
        const std::vector<float> gains = input.floats(stems * channels * frames * width);
        const auto* const bins_data = reinterpret_cast<const Complex*>(parts.data());
        auto spectrum = spectrum_view(bins_data, channels, frames, bins, bins);
        const auto step = [](std::size_t elements) { return static_cast<Stride>(elements); };
        MaskView masks{gains.data(),
                       stems,
                       channels,
                       frames,
                       width,
                       step(channels * frames * width),
                       step(frames * width),
                       step(width),
                       1,
                       spread ? &*spread : nullptr};
        if (input.number(0, 1)) {  // as a network that thinks in (bins, frames) holds them
            spectrum.frame_stride = masks.frame_stride = 1;
            spectrum.bin_stride = masks.bin_stride = step(frames);
        }
        if (input.number(0, 1)) masks.channels = 1;
        const std::size_t length = input.number(0, frames * geometry.hop_length + 100);
        Padded<float> alone(outputs * channels, length, input.number(0, 40));
        Padded<float> shared = alone;
        const auto invert = [&](Padded<float>& out, int threads) {
            istft(synthesis, spectrum, stems ? &masks : nullptr,
                  {out.data.data(), outputs, channels, length, step(channels * out.pitch),
                   step(out.pitch)},
                  threads);
        };
        invert(alone, 1);
        invert(shared, 3);
        require(alone.gaps_are_untouched(), "istft wrote between rows");
        require(same(alone.data, shared.data), "istft depends on the number of threads");
    });
}
