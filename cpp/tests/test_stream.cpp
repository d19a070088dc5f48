// Streams give the bits of the one-shot transforms, however the input is cut.
#include "stemsplit/stream.hpp"
#include "support.hpp"

using namespace stemsplit;
using namespace stemsplit::tests;

namespace {

struct Case {
    std::size_t n, hop, channels, samples;
};

constexpr Case kCases[] = {{256, 64, 1, 3000}, {256, 64, 2, 3000},  {256, 100, 3, 2999},
                           {64, 32, 2, 700},   {1024, 256, 2, 511}, {1024, 256, 3, 513},
                           {1024, 100, 1, 1},  {64, 1, 2, 200},     {512, 250, 2, 5000}};

std::vector<std::size_t> cuts(std::size_t total, unsigned seed) {
    std::mt19937 generator(seed);
    std::vector<std::size_t> lengths;
    for (std::size_t done = 0; done < total;) {
        const std::size_t most = seed % 3 == 0 ? 7 : seed % 3 == 1 ? 300 : total;
        const std::size_t length = std::min(generator() % (most + 1), total - done);
        lengths.push_back(length);
        done += length;
    }
    return lengths;
}

void append(std::vector<std::vector<Complex>>& rows, const Spectrum& part) {
    for (std::size_t c = 0; c < part.channels; ++c) {
        const auto begin = part.data.begin() + static_cast<Stride>(c * part.frames * part.bins);
        rows[c].insert(rows[c].end(), begin, begin + static_cast<Stride>(part.frames * part.bins));
    }
}

void forward(const Kernel& kernel, const Case& test, unsigned seed) {
    const Geometry geometry{test.n, test.hop};
    const Signal x(test.channels, test.samples, seed);
    const Spectrum whole = transform(x, geometry, default_window(test.n), kernel, 1);
    StftStream stream(test.channels, geometry, default_window(test.n), kernel);
    std::vector<std::vector<Complex>> rows(test.channels);
    std::size_t done = 0;
    for (std::size_t length : cuts(test.samples, seed)) {
        Spectrum part(test.channels, stream.ready(length), geometry.bins());
        stream.process(x.view(done, length), part.view(), 2);
        append(rows, part);
        done += length;
    }
    Spectrum rest(test.channels, stream.remaining(), geometry.bins());
    stream.finish(rest.view(), 2);
    append(rows, rest);
    std::vector<Complex> joined;
    for (const auto& row : rows) joined.insert(joined.end(), row.begin(), row.end());
    expect(joined == whole.data, "StftStream, n " + std::to_string(test.n) + ", samples " +
                                     std::to_string(test.samples) + ", seed " +
                                     std::to_string(seed));
}

void inverse(const Kernel& kernel, const Case& test, std::size_t stems, unsigned seed) {
    const Geometry geometry{test.n, test.hop};
    const std::vector<float> window(test.n, 1.0F);
    const Signal x(test.channels, test.samples, seed);
    const Spectrum spectrum = transform(x, geometry, window, kernel);
    const auto step = [](std::size_t size) { return static_cast<Stride>(size); };
    const std::size_t plane = spectrum.frames * spectrum.bins;
    const std::vector<float> gains = shares(stems * test.channels * plane, seed);
    const MaskView masks{gains.data(),
                         stems,
                         test.channels,
                         spectrum.frames,
                         spectrum.bins,
                         step(test.channels * plane),
                         step(plane),
                         step(spectrum.bins),
                         1};
    const std::size_t outputs = std::max<std::size_t>(stems, 1);
    Stems whole(outputs, test.channels, test.samples), joined = whole;
    istft(Synthesis(geometry, window, outputs, test.channels, kernel),
          std::as_const(spectrum).view(), stems ? &masks : nullptr, whole.view(), 1);

    IstftStream stream(outputs, test.channels, geometry, window, kernel);
    std::size_t frames = 0, samples = 0;
    const auto keep = [&](Stems& part) {
        for (std::size_t s = 0; s < outputs; ++s) {
            for (std::size_t c = 0; c < test.channels; ++c) {
                const float* from = part.view().row(s, c);
                const std::size_t room = test.samples - std::min(samples, test.samples);
                std::copy_n(from, std::min(part.samples, room),
                            joined.view().row(s, c) + std::min(samples, test.samples));
            }
        }
        samples += part.samples;
    };
    for (std::size_t count : cuts(spectrum.frames, seed)) {
        Stems part(outputs, test.channels, stream.ready(count));
        const MaskView some = masks.from(frames, count);
        stream.process(std::as_const(spectrum).view().from(frames, count), stems ? &some : nullptr,
                       part.view(), 2);
        frames += count;
        keep(part);
    }
    Stems rest(outputs, test.channels, stream.remaining(test.samples));
    stream.finish(rest.view());
    keep(rest);
    expect(samples == test.samples && joined.data == whole.data,
           "IstftStream, n " + std::to_string(test.n) + ", samples " +
               std::to_string(test.samples) + ", stems " + std::to_string(stems) + ", seed " +
               std::to_string(seed));
}

void refuses_misuse() {
    const Kernel& kernel = find_kernel("");
    StftStream stream(1, {64, 16}, default_window(64), kernel);
    expect_refused([&] { stream.remaining(); }, "the end of no signal");
    expect_refused([&] { IstftStream(1, 1, {64, 33}, default_window(64), kernel); },
                   "a hop above half a frame");
    expect_refused([&] { IstftStream(1, 1, {64, 16}, std::vector<float>(64), kernel); },
                   "an empty window");
    IstftStream inverse(1, 1, {64, 16}, default_window(64), kernel);
    expect_refused([&] { inverse.remaining(1000); }, "a length beyond the frames");
}

}  // namespace

int main() {
    for (const Kernel* kernel : available_kernels()) {
        std::printf("kernel %s\n", kernel->name);
        for (const Case& test : kCases) {
            for (unsigned seed = 0; seed < 6; ++seed) {
                forward(*kernel, test, seed);
                for (std::size_t stems : {0UL, 1UL, 3UL}) inverse(*kernel, test, stems, seed);
            }
        }
    }
    refuses_misuse();
    return report();
}
