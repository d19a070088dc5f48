// Powers in bands against sums in double, and spread masks against the same masks bin by bin.
#include "stemsplit/bands.hpp"
#include "support.hpp"

using namespace stemsplit;
using namespace stemsplit::tests;

namespace {

void powers_match_double() {
    const std::size_t frames = 70, bins = 129;
    const Spectrum spectrum = random_spectrum(2, frames, bins);
    const std::vector<std::size_t> edges{0, 1, 2, 5, 40, 129};
    const std::size_t bands = edges.size() - 1;
    std::vector<float> got(frames * kSeenChannels * bands), again(got.size());
    band_powers(spectrum.view(), edges, got.data(), 1);
    band_powers(spectrum.view(), edges, again.data(), 3);
    expect(got == again, "powers do not depend on the threads");
    std::vector<double> wanted(got.size());
    for (std::size_t f = 0; f < frames; ++f) {
        for (std::size_t b = 0; b < bands; ++b) {
            for (std::size_t k = edges[b]; k < edges[b + 1]; ++k) {
                const std::complex<double> l(spectrum.data[f * bins + k]);
                const std::complex<double> r(spectrum.data[(frames + f) * bins + k]);
                double* const to = wanted.data() + f * kSeenChannels * bands + b;
                to[0] += std::norm(l);
                to[bands] += std::norm(r);
                to[2 * bands] += std::norm((l + r) / 2.0);
                to[3 * bands] += std::norm((l - r) / 2.0);
            }
        }
    }
    expect_close(relative_error(got, wanted), "band powers");
    expect_refused([&] { band_powers(spectrum.view(), {0, 3, 3}, got.data(), 1); }, "level edges");
    expect_refused([&] { band_powers(spectrum.view(), {0, 130}, got.data(), 1); },
                   "a bin too many");
    expect_refused([&] { band_powers(spectrum.view(), {0}, got.data(), 1); }, "no band");
}

// Values at every fourth bin, the first ones at every bin; the rows are as many values long.
struct Layout {
    std::vector<std::uint32_t> below;
    std::vector<float> weights;
    std::size_t values = 0;
};

Layout layout_of(std::size_t bins) {
    constexpr std::size_t single = 10, step = 4;
    Layout layout;
    for (std::size_t k = 0; k < bins; ++k) {
        const bool plain = k < single;
        layout.below.push_back(
            static_cast<std::uint32_t>(plain ? k : single + (k - single) / step));
        layout.weights.push_back(plain ? 0 : static_cast<float>((k - single) % step) / step);
    }
    layout.values = layout.below.back() + 2;
    return layout;
}

void spread_masks_are_those_of_bins(const Kernel& kernel) {
    const std::size_t n = 256, hop = 64, frames = 70, bins = n / 2 + 1, stems = 2, length = 4000;
    const Layout layout = layout_of(bins);
    const Spread spread(layout.below, layout.weights, layout.values);
    const auto step = [](std::size_t size) { return static_cast<Stride>(size); };
    for (std::size_t channels = 1; channels <= 3; ++channels) {
        const Spectrum spectrum = random_spectrum(channels, frames, bins);
        const std::size_t rows = channels * frames;
        const std::vector<float> values = shares(stems * rows * layout.values, 9);
        std::vector<float> turned(values.size()), gains(stems * rows * bins);
        for (std::size_t row = 0; row < stems * rows; ++row) {
            const std::size_t plane = row / frames, frame = row % frames;
            for (std::size_t v = 0; v < layout.values; ++v) {
                turned[(plane * layout.values + v) * frames + frame] =
                    values[row * layout.values + v];
            }
            for (std::size_t k = 0; k < bins; ++k) {
                const float* const value = &values[row * layout.values + layout.below[k]];
                const float w = layout.weights[k];
                gains[row * bins + k] = (1 - w) * value[0] + w * value[1];
            }
        }
        const auto view = [&](const std::vector<float>& data, std::size_t width) {
            return MaskView{
                data.data(),          stems,       channels, frames, width, step(rows * width),
                step(frames * width), step(width), 1};
        };
        const MaskView plain = view(gains, bins);
        MaskView few = view(values, layout.values), across = view(turned, layout.values);
        across.frame_stride = 1;
        across.bin_stride = step(frames);
        few.spread = across.spread = &spread;
        const Synthesis synthesis({n, hop}, default_window(n), stems, channels, kernel);
        Stems a(stems, channels, length), b(a), c(a);
        istft(synthesis, spectrum.view(), &plain, a.view(), 1);
        istft(synthesis, spectrum.view(), &few, b.view(), 2);
        istft(synthesis, spectrum.view(), &across, c.view(), 1);
        const std::string name = std::string("spread masks, ") + kernel.name;
        // Compilers may fuse a product and a sum in one of the two.
        const std::vector<double> wanted(a.data.begin(), a.data.end());
        expect_close(relative_error(b.data, wanted), name);
        expect(b.data == c.data, name + ", transposed");
    }
}

void refuses_values_that_are_not_there() {
    expect_refused([] { Spread({0, 1}, {0, 0}, 2); }, "a last value without a next");
    expect_refused([] { Spread({0, 1}, {0}, 3); }, "a weight too few");
    expect_refused([] { Spread({}, {}, 3); }, "no bins");
}

}  // namespace

int main() {
    powers_match_double();
    for (const Kernel* kernel : available_kernels()) spread_masks_are_those_of_bins(*kernel);
    refuses_values_that_are_not_there();
    return report();
}
