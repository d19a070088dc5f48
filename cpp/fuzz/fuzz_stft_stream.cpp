// StftStream: blocks of any sizes, calls in any order; the frames must be those of stft().
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
        const std::size_t channels = input.number(1, 3), samples = input.number(0, 4000);
        StftStream stream(channels, geometry, window, kernel);
        const std::size_t bins = geometry.bins(), frames = geometry.frames(samples);
        if (channels * frames > 1000) return;
        const std::vector<float> x = input.floats(channels * samples);

        std::vector<Complex> joined(channels * frames * bins);
        std::size_t done = 0;
        const auto take = [&](std::size_t count, auto&& write) {
            require(done + count <= frames, "a stream returned too many frames");
            auto view = spectrum_view(joined.data(), channels, frames, bins, bins);
            write(view.from(done, count));
            done += count;
        };
        for (std::size_t at = 0; at < samples;) {
            const std::size_t length = input.number(0, samples - at) / (1 + input.number(0, 9));
            const std::size_t count = length ? length : 1;
            take(stream.ready(count), [&](const SpectrumView<Complex>& out) {
                stream.process(signal_view(x, channels, samples, at, count), out, 2);
            });
            at += count;
        }
        take(stream.remaining(), [&](const SpectrumView<Complex>& out) { stream.finish(out, 2); });

        std::vector<Complex> whole(joined.size());
        stft(Analysis(geometry, window, kernel), signal_view(x, channels, samples),
             spectrum_view(whole.data(), channels, frames, bins, bins), 1);
        require(done == frames && same(whole, joined), "StftStream differs from stft");
        stream.ready(1);  // throws: the stream is finished
        require(false, "a finished stream went on");
    });
}
