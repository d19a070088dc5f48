// istft(), with masks or without: any geometry, strides, length and output pitch.
#include "fuzz.hpp"
#include "stemsplit/mask.hpp"

using namespace stemsplit;
using namespace stemsplit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return guarded([&] {
        Input input(data, size);
        const Geometry geometry = input.geometry();
        const std::vector<float> window = input.window(geometry.n_fft);
        const std::size_t channels = input.number(1, 4), frames = input.number(0, 70);
        const std::size_t stems = input.number(0, 3), outputs = stems ? stems : 1;
        const std::size_t bins = geometry.bins(), plane = frames * bins;
        const Synthesis synthesis(geometry, window, outputs, channels, input.kernel());
        const std::vector<float> parts = input.floats(2 * channels * plane);
        const std::vector<float> gains = input.floats(stems * channels * plane);
        const auto* const bins_data = reinterpret_cast<const Complex*>(parts.data());
        auto spectrum = spectrum_view(bins_data, channels, frames, bins, bins);
        const auto step = [](std::size_t elements) { return static_cast<Stride>(elements); };
        MaskView masks{gains.data(),           stems,       channels,   frames, bins,
                       step(channels * plane), step(plane), step(bins), 1};
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
