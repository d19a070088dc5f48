// IstftStream: frames in blocks of any sizes, any length; the samples must be those of istft().
#include "fuzz.hpp"
#include "stemsplit/stream.hpp"

using namespace stemsplit;
using namespace stemsplit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return guarded([&] {
        Input input(data, size);
        const Geometry geometry = input.geometry();
        const std::vector<float> window = input.window(geometry.n_fft);
        const Kernel& kernel = input.kernel();
        const std::size_t channels = input.number(1, 3), frames = input.number(1, 60);
        const std::size_t stems = input.number(0, 3), outputs = stems ? stems : 1;
        IstftStream stream(outputs, channels, geometry, window, kernel);
        const std::size_t bins = geometry.bins(), plane = frames * bins;
        const std::vector<float> parts = input.floats(2 * channels * plane);
        const std::vector<float> gains = input.floats(stems * channels * plane);
        const auto spectrum = spectrum_view(reinterpret_cast<const Complex*>(parts.data()),
                                            channels, frames, bins, bins);
        const auto step = [](std::size_t elements) { return static_cast<Stride>(elements); };
        const MaskView masks{gains.data(),           stems,       channels,   frames, bins,
                             step(channels * plane), step(plane), step(bins), 1};
        const std::size_t length = input.number(0, frames * geometry.hop_length + 100);

        std::vector<float> whole(outputs * channels * length), joined = whole;
        const auto view = [&](std::vector<float>& samples, std::size_t from, std::size_t count) {
            return StemsView{samples.data() + from,   outputs,     channels, count,
                             step(channels * length), step(length)};
        };
        istft(Synthesis(geometry, window, outputs, channels, kernel), spectrum,
              stems ? &masks : nullptr, view(whole, 0, length), 1);
        std::size_t at = 0;
        for (std::size_t frame = 0; frame < frames;) {
            const std::size_t count = input.number(1, frames - frame);
            const std::size_t ready = stream.ready(count);
            if (at + ready > length) return;  // shorter than what the frames complete
            const MaskView some = stems ? masks.from(frame, count) : masks;
            stream.process(spectrum.from(frame, count), stems ? &some : nullptr,
                           view(joined, at, ready), 2);
            at += ready;
            frame += count;
        }
        const std::size_t rest = stream.remaining(length);
        stream.finish(view(joined, at, rest));
        require(at + rest == length && same(whole, joined), "IstftStream differs from istft");
    });
}
