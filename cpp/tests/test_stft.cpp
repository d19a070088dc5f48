// The forward transform of every kernel against the definition, at every size and odd ones.
#include "support.hpp"

using namespace stemsplit;
using namespace stemsplit::tests;

namespace {

// All bins of short frames, a sample of the bins of long ones: the reference takes n steps a bin.
void matches_definition(const Kernel& kernel, std::size_t n, std::size_t hop, std::size_t channels,
                        std::size_t samples, const std::vector<float>& window) {
    const Signal x(channels, samples, static_cast<unsigned>(n + channels));
    const Spectrum spectrum = transform(x, {n, hop}, window, kernel, 2);
    const std::size_t step = n <= 128 ? 1 : spectrum.bins / 7;
    const std::size_t frame_step = 1 + spectrum.frames / 4;
    std::vector<Complex> got;
    std::vector<std::complex<double>> wanted;
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t f = 0; f < spectrum.frames; f += frame_step) {
            for (std::size_t k = 0; k < spectrum.bins; k += step) {
                got.push_back(spectrum.data[(c * spectrum.frames + f) * spectrum.bins + k]);
            }
            reference_bins(x, window, hop, c, f, step, wanted);
        }
    }
    expect_close(relative_error(got, wanted),
                 std::string("stft, ") + kernel.name + ", n " + std::to_string(n) + ", hop " +
                     std::to_string(hop) + ", channels " + std::to_string(channels));
}

void every_size(const Kernel& kernel) {
    for (std::size_t n = 64; n <= 65536; n *= 2) {
        for (std::size_t channels = 1; channels <= 3; ++channels) {
            matches_definition(kernel, n, n / 4, channels, 2 * n + 7, default_window(n));
        }
    }
}

void odd_sizes(const Kernel& kernel) {
    const std::size_t n = 256;
    const std::vector<float> window = noise(n, 5);
    for (std::size_t samples : {1UL, 2UL, 3UL, 100UL, 128UL, 129UL, 255UL, 1000UL}) {
        for (std::size_t hop : {1UL, 77UL, 256UL}) {
            matches_definition(kernel, n, hop, 2, samples, window);
        }
    }
}

void refuses_bad_geometry() {
    const Kernel& kernel = find_kernel("");
    for (std::size_t n : {0UL, 32UL, 100UL, 131072UL}) {
        expect_refused([&] { Analysis({n, 16}, std::vector<float>(n, 1.0F), kernel); }, "n_fft");
    }
    const std::vector<float> window(64, 1.0F);
    expect_refused([&] { Analysis({64, 0}, window, kernel); }, "hop 0");
    expect_refused([&] { Analysis({64, 65}, window, kernel); }, "hop above n");
    expect_refused([&] { Analysis({128, 16}, window, kernel); }, "short window");
    expect_refused([&] { find_kernel("abacus"); }, "unknown kernel");
}

}  // namespace

int main() {
    for (const Kernel* kernel : available_kernels()) {
        std::printf("kernel %s\n", kernel->name);
        every_size(*kernel);
        odd_sizes(*kernel);
    }
    refuses_bad_geometry();
    return report();
}
