// stft(): any geometry, window, signal and output pitch; threads and kernels must not matter.
#include "fuzz.hpp"

using namespace stemsplit;
using namespace stemsplit::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return guarded([&] {
        Input input(data, size);
        const Geometry geometry = input.geometry();
        const std::vector<float> window = input.window(geometry.n_fft);
        const Analysis analysis(geometry, window, input.kernel());
        const std::size_t channels = input.number(1, 5), samples = input.number(1, 5000);
        const std::size_t frames = geometry.frames(samples);
        if (channels * frames > 2000) return;  // a hop of 1 would only take time
        const std::vector<float> x = input.floats(channels * samples);
        Padded<Complex> alone(channels * frames, geometry.bins(), input.number(0, 20));
        Padded<Complex> shared = alone;
        const auto transform = [&](Padded<Complex>& out, int threads) {
            stft(analysis, signal_view(x, channels, samples),
                 spectrum_view(out.data.data(), channels, frames, out.columns, out.pitch), threads);
        };
        transform(alone, 1);
        transform(shared, 3);
        require(alone.gaps_are_untouched(), "stft wrote between rows");
        require(same(alone.data, shared.data), "stft depends on the number of threads");
    });
}
