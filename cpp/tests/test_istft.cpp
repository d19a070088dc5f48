// The inverse of every kernel: against the definition, as round trips, with masks, any strides.
#include "support.hpp"

using namespace stemsplit;
using namespace stemsplit::tests;

namespace {

// Frames by the inverse DFT sum, overlap-added in double. The imaginary parts of the first and
// last bin play no part, as in any inverse of a half spectrum.
std::vector<double> reference_inverse(const Spectrum& spectrum, const float* mask,
                                      const std::vector<float>& window, std::size_t hop,
                                      std::size_t c, std::size_t length) {
    const std::size_t n = window.size();
    const std::vector<std::complex<double>> root = roots(n);
    std::vector<double> sum(length), squares(length);
    for (std::size_t f = 0; f < spectrum.frames; ++f) {
        for (std::size_t i = 0; i < n; ++i) {
            const auto t =
                static_cast<std::ptrdiff_t>(f * hop + i) - static_cast<std::ptrdiff_t>(n / 2);
            if (t < 0 || t >= static_cast<std::ptrdiff_t>(length)) continue;
            double value = 0;
            for (std::size_t k = 0; k < spectrum.bins; ++k) {
                const std::size_t at = (c * spectrum.frames + f) * spectrum.bins + k;
                const double gain = mask ? mask[f * spectrum.bins + k] : 1;
                // The real part of the bin times the conjugate root, twice where it has a twin.
                const std::complex<double> turn = root[i * k % n], bin(spectrum.data[at]);
                const bool twin = k != 0 && k != n / 2;
                value += gain * (twin ? 2 * (bin.real() * turn.real() + bin.imag() * turn.imag())
                                      : bin.real() * turn.real());
            }
            const auto at = static_cast<std::size_t>(t);
            const auto w = static_cast<double>(window[i]);
            sum[at] += w * value / static_cast<double>(n);
            squares[at] += w * w;
        }
    }
    for (std::size_t t = 0; t < length; ++t) sum[t] /= squares[t];
    return sum;
}

void matches_definition(const Kernel& kernel, const std::vector<float>& window, std::size_t hop,
                        std::size_t channels) {
    const std::size_t n = window.size();
    const std::size_t frames = 6, length = (frames - 1) * hop, stems = 3;
    const Spectrum spectrum = random_spectrum(channels, frames, n / 2 + 1);
    const std::size_t plane = frames * spectrum.bins;
    const std::vector<float> masks = shares(stems * plane, 3);
    const MaskView view{masks.data(),
                        stems,
                        1,
                        frames,
                        spectrum.bins,
                        static_cast<Stride>(plane),
                        0,
                        static_cast<Stride>(spectrum.bins),
                        1};
    Stems out(stems, channels, length), plain(1, channels, length);
    istft(Synthesis({n, hop}, window, stems, channels, kernel), std::as_const(spectrum).view(),
          &view, out.view(), 2);
    istft(Synthesis({n, hop}, window, 1, channels, kernel), std::as_const(spectrum).view(), nullptr,
          plain.view(), 2);
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t s = 0; s <= stems; ++s) {
            const bool masked = s < stems;
            const float* row = masked ? out.view().row(s, c) : plain.view().row(0, c);
            const std::vector<float> got(row, row + length);
            const auto wanted = reference_inverse(
                spectrum, masked ? masks.data() + s * plane : nullptr, window, hop, c, length);
            expect_close(relative_error(got, wanted), std::string("istft, ") + kernel.name +
                                                          ", n " + std::to_string(n) + ", hop " +
                                                          std::to_string(hop) + ", channels " +
                                                          std::to_string(channels));
        }
    }
}

void round_trips(const Kernel& kernel) {
    for (std::size_t n = 64; n <= 65536; n *= 2) {
        for (std::size_t channels = 1; channels <= 3; ++channels) {
            const std::size_t hop = n / 4 - channels, samples = 3 * n + 5;
            const Signal x(channels, samples, static_cast<unsigned>(n));
            const Spectrum spectrum = transform(x, {n, hop}, default_window(n), kernel, 2);
            Stems out(1, channels, samples);
            istft(Synthesis({n, hop}, default_window(n), 1, channels, kernel), spectrum.view(),
                  nullptr, out.view(), 3);
            const std::vector<double> wanted(x.data.begin(), x.data.end());
            expect_close(relative_error(out.data, wanted),
                         std::string("round trip, ") + kernel.name + ", n " + std::to_string(n));
        }
    }
}

// (stems, channels, bins, frames) handed over as a transposed view gives the same bits.
void strides_do_not_matter(const Kernel& kernel) {
    const std::size_t n = 256, hop = 64, frames = 70, bins = n / 2 + 1, stems = 2, channels = 3;
    const std::size_t length = 4000, plane = frames * bins;
    const Spectrum spectrum = random_spectrum(channels, frames, bins);
    const std::vector<float> masks = shares(stems * channels * plane, 9);
    std::vector<float> turned_masks(masks.size());
    std::vector<Complex> turned_bins(spectrum.data.size());
    for (std::size_t p = 0; p < stems * channels; ++p) {
        for (std::size_t i = 0; i < plane; ++i) {
            const std::size_t from = p * plane + i, to = p * plane + i % bins * frames + i / bins;
            turned_masks[to] = masks[from];
            if (p < channels) turned_bins[to] = spectrum.data[from];
        }
    }
    const auto step = [](std::size_t size) { return static_cast<Stride>(size); };
    const MaskView straight{masks.data(),           stems,       channels,   frames, bins,
                            step(channels * plane), step(plane), step(bins), 1};
    const MaskView turned{turned_masks.data(),    stems,       channels, frames,      bins,
                          step(channels * plane), step(plane), 1,        step(frames)};
    const SpectrumView<const Complex> turned_spectrum{
        turned_bins.data(), channels, frames, bins, step(plane), 1, step(frames)};
    const Synthesis synthesis({n, hop}, default_window(n), stems, channels, kernel);
    Stems a(stems, channels, length), b(stems, channels, length);
    istft(synthesis, spectrum.view(), &straight, a.view(), 1);
    istft(synthesis, turned_spectrum, &turned, b.view(), 2);
    expect(a.data == b.data, std::string("transposed masks, ") + kernel.name);
}

void refuses_gaps() {
    const Kernel& kernel = find_kernel("");
    const Spectrum spectrum = random_spectrum(1, 4, 129);
    const auto invert = [&](std::size_t hop, std::size_t length) {
        Stems out(1, 1, length);
        istft(Synthesis({256, hop}, default_window(256), 1, 1, kernel), spectrum.view(), nullptr,
              out.view(), 1);
    };
    invert(128, 3 * 128);
    expect_refused([&] { invert(256, 300); }, "Hann windows side by side");
    expect_refused([&] { invert(128, 4 * 128); }, "a sample no window reaches");
    expect_refused([&] { invert(64, 5000); }, "a length beyond the frames");
}

}  // namespace

int main() {
    for (const Kernel* kernel : available_kernels()) {
        std::printf("kernel %s\n", kernel->name);
        for (std::size_t channels = 1; channels <= 3; ++channels) {
            matches_definition(*kernel, default_window(64), 16, channels);
            matches_definition(*kernel, default_window(128), 50, channels);
            matches_definition(*kernel, default_window(256), 64, channels);
            // Every way to add frames up. Few Hann windows would divide by what is near zero.
            for (const std::size_t n : {64, 256}) {
                const std::vector<float> ones(n, 1.0f);
                for (const std::size_t hop : {n / 8, n / 2, n / 2 + 1, 3 * n / 4, n}) {
                    matches_definition(*kernel, ones, hop, channels);
                }
            }
        }
        round_trips(*kernel);
        strides_do_not_matter(*kernel);
    }
    refuses_gaps();
    return report();
}
