// The extension module stemsplit._core: its functions and classes, and how arrays of one call have
// to fit one another.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "stemsplit/bands.hpp"
#include "stemsplit/dispatch.hpp"
#include "stemsplit/fft.hpp"
#include "stemsplit/stream.hpp"
#include "unlocked.hpp"

namespace stemsplit::bindings {
namespace {

std::vector<float> window_of(const py::object& window, const Geometry& geometry) {
    if (!is_valid_n_fft(geometry.n_fft)) return {};  // which is refused where it is used
    return window.is_none() ? default_window(geometry.n_fft) : window_input(window, geometry.n_fft);
}

void check_bins(const char* name, std::size_t bins, const Geometry& geometry) {
    if (bins == geometry.bins()) return;
    throw py::value_error(std::string(name) + ": got " + std::to_string(bins) +
                          " bins, wanted n_fft / 2 + 1 = " + std::to_string(geometry.bins()));
}

using SharedSpread = std::shared_ptr<Spread>;

void check_spread(const SharedSpread& spread, const Geometry& geometry) {
    if (spread) check_bins("spread", spread->bins(), geometry);
}

// Checked to go with a spectrum; with a spread, the masks hold its values.
Held<MaskView> masks_of(const py::object& value, const SharedSpread& spread,
                        const SpectrumView<const Complex>& spectrum) {
    auto masks = mask_input(value, "masks");
    masks.view.spread = spread.get();
    const MaskView& view = masks.view;
    const std::size_t bins = spread ? spread->values() : spectrum.bins;
    if ((view.channels == 1 || view.channels == spectrum.channels) &&
        view.frames == spectrum.frames && view.bins == bins) {
        return masks;
    }
    const auto text = [](std::size_t size) { return std::to_string(size); };
    throw py::value_error("masks: got shape " + describe(shape_of(masks.array)) +
                          ", wanted (stems, " + text(spectrum.channels) + " or 1, " +
                          text(spectrum.frames) + ", " + text(bins) + ") to go with the spectrum" +
                          (spread ? " and the spread" : ""));
}

void check_samples(std::size_t samples, const char* name) {
    if (samples == 0) {
        throw py::value_error(std::string(name) + ": got 0 samples, wanted at least 1");
    }
}

py::array stft_array(const py::object& x, std::size_t n_fft, std::size_t hop_length,
                     const py::object& window, const py::object& out, int threads,
                     const std::string& kernel) {
    const Geometry geometry{n_fft, hop_length};
    const Analysis analysis(geometry, window_of(window, geometry), find_kernel(kernel));
    const auto signal = signal_input(x, "x");
    check_samples(signal.view.samples, "x");
    const auto result =
        spectrum_output(out, signal.view.channels, geometry.frames(signal.view.samples),
                        geometry.bins(), {signal.array});
    {
        const Unlocked unlocked;
        stft(analysis, signal.view, result.view, threads);
    }
    return result.array;
}

py::array band_powers_array(const py::object& spec, const std::vector<std::size_t>& edges,
                            int threads) {
    const auto spectrum = spectrum_input(spec, "spec");
    if (spectrum.view.channels != 2) {
        throw py::value_error("spec: got " + std::to_string(spectrum.view.channels) +
                              " channels, wanted 2");
    }
    const std::size_t bands = edges.size() > 1 ? edges.size() - 1 : 0;
    py::array_t<float> powers({spectrum.view.frames, kSeenChannels, bands});
    float* const out = powers.mutable_data();
    {
        const Unlocked unlocked;
        band_powers(spectrum.view, edges, out, threads);
    }
    return powers;
}

py::array istft_array(const py::object& spec, const py::object& masks, const SharedSpread& spread,
                      std::size_t n_fft, std::size_t hop_length, const py::object& window,
                      std::size_t length, const py::object& out, int threads,
                      const std::string& kernel) {
    const Geometry geometry{n_fft, hop_length};
    const std::vector<float> samples = window_of(window, geometry);
    check_geometry(geometry, samples);
    const auto spectrum = spectrum_input(spec, "spec");
    check_bins("spec", spectrum.view.bins, geometry);
    check_samples(length, "length");
    std::vector<py::array> inputs{spectrum.array};
    std::optional<Held<MaskView>> gains;
    if (!masks.is_none()) {
        check_spread(spread, geometry);
        gains = masks_of(masks, spread, spectrum.view);
        inputs.push_back(gains->array);
    }
    const std::size_t stems = gains ? gains->view.stems : 0;
    const Synthesis synthesis(geometry, samples, stems ? stems : 1, spectrum.view.channels,
                              find_kernel(kernel));
    check_cover(synthesis, 0, length, spectrum.view.frames);
    const auto result = stems_output(out, stems, spectrum.view.channels, length, inputs);
    {
        const Unlocked unlocked;
        istft(synthesis, spectrum.view, gains ? &gains->view : nullptr, result.view, threads);
    }
    return result.array;
}

// Runs body with the stream's lock held. The lock is waited for without the GIL, so that a thread
// that holds the lock can take the GIL to make an array.
template <class Body>
py::array locked(std::mutex& mutex, Body&& body) {
    std::unique_lock lock(mutex, std::defer_lock);
    {
        const Unlocked unlocked;
        lock.lock();
    }
    return body();
}

class PyStftStream {
  public:
    PyStftStream(std::size_t channels, std::size_t n_fft, std::size_t hop_length,
                 const py::object& window, int threads, const std::string& kernel)
        : stream_(channels, {n_fft, hop_length}, window_of(window, {n_fft, hop_length}),
                  find_kernel(kernel)),
          threads_(threads) {}

    py::array process(const py::object& block) {
        return locked(mutex_, [&] {
            const auto signal = signal_input(block, "block");
            check_stream_channels("block", signal.view.channels, stream_.channels());
            const auto result = output(stream_.ready(signal.view.samples));
            {
                const Unlocked unlocked;
                stream_.process(signal.view, result.view, threads_);
            }
            return result.array;
        });
    }

    py::array finish() {
        return locked(mutex_, [&] {
            const auto result = output(stream_.remaining());
            {
                const Unlocked unlocked;
                stream_.finish(result.view, threads_);
            }
            return result.array;
        });
    }

    static void check_stream_channels(const char* name, std::size_t got, std::size_t wanted) {
        if (got == wanted) return;
        throw py::value_error(std::string(name) + ": got " + std::to_string(got) +
                              " channels, wanted " + std::to_string(wanted) +
                              ", as the stream was made for");
    }

  private:
    Held<SpectrumView<Complex>> output(std::size_t frames) const {
        return spectrum_output(py::none(), stream_.channels(), frames, stream_.geometry().bins(),
                               {});
    }

    std::mutex mutex_;
    StftStream stream_;
    int threads_;
};

class PyIstftStream {
  public:
    PyIstftStream(std::size_t channels, std::size_t n_fft, std::size_t hop_length,
                  const py::object& window, std::size_t stems, SharedSpread spread, int threads,
                  const std::string& kernel)
        : stream_(stems ? stems : 1, channels, {n_fft, hop_length},
                  window_of(window, {n_fft, hop_length}), find_kernel(kernel)),
          stems_(stems),
          spread_(std::move(spread)),
          threads_(threads) {
        check_spread(spread_, stream_.geometry());
    }

    py::array process(const py::object& spec, const py::object& masks) {
        return locked(mutex_, [&] {
            const auto spectrum = spectrum_input(spec, "spec");
            PyStftStream::check_stream_channels("spec", spectrum.view.channels, stream_.channels());
            check_bins("spec", spectrum.view.bins, stream_.geometry());
            const auto gains = masks_for(masks, spectrum.view);
            const auto result = output(stream_.ready(spectrum.view.frames));
            {
                const Unlocked unlocked;
                stream_.process(spectrum.view, gains ? &gains->view : nullptr, result.view,
                                threads_);
            }
            return result.array;
        });
    }

    py::array finish(std::size_t length) {
        return locked(mutex_, [&] {
            check_samples(length, "length");
            const auto result = output(stream_.remaining(length));
            {
                const Unlocked unlocked;
                stream_.finish(result.view);
            }
            return result.array;
        });
    }

  private:
    std::optional<Held<MaskView>> masks_for(const py::object& masks,
                                            const SpectrumView<const Complex>& spectrum) const {
        if (masks.is_none() != (stems_ == 0)) {
            throw py::value_error(stems_ ? "masks: got None, wanted one for each stem"
                                         : "masks: got some, wanted None; say stems= to make a "
                                           "stream that takes them");
        }
        if (stems_ == 0) return std::nullopt;
        auto gains = masks_of(masks, spread_, spectrum);
        if (gains.view.stems != stems_) {
            throw py::value_error("masks: got " + std::to_string(gains.view.stems) +
                                  " stems, wanted " + std::to_string(stems_) +
                                  ", as the stream was made for");
        }
        return gains;
    }

    Held<StemsView> output(std::size_t samples) const {
        return stems_output(py::none(), stems_, stream_.channels(), samples, {});
    }

    std::mutex mutex_;
    IstftStream stream_;
    std::size_t stems_;
    SharedSpread spread_;
    int threads_;
};

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const Kernel* kernel : available_kernels()) names.emplace_back(kernel->name);
    return names;
}

}  // namespace
}  // namespace stemsplit::bindings

PYBIND11_MODULE(_core, module) {
    namespace py = pybind11;
    using namespace stemsplit::bindings;
    using py::arg;

    module.doc() = "The C++ core of stemsplit. stemsplit.dsp is its public face.";

    module.def("stft", &stft_array, arg("x"), arg("n_fft"), arg("hop_length"), arg("window"),
               arg("out"), arg("threads"), arg("kernel"),
               "Spectra (channels, frames, bins) of a signal (channels, samples).");
    module.def("band_powers", &band_powers_array, arg("spec"), arg("edges"), arg("threads"),
               "Powers (frames, 4, bands) of left, right, mid and side.");
    py::class_<stemsplit::Spread, SharedSpread>(module, "Spread",
                                                "How a row of values becomes a gain for every bin.")
        .def(py::init<std::vector<std::uint32_t>, std::vector<float>, std::size_t>(), arg("below"),
             arg("weights"), arg("values"));

    module.def("istft", &istft_array, arg("spec"), arg("masks"), arg("spread"), arg("n_fft"),
               arg("hop_length"), arg("window"), arg("length"), arg("out"), arg("threads"),
               arg("kernel"),
               "Signal (channels, samples) of spectra, or (stems, channels, samples) with masks.");
    module.def(
        "hann_window",
        [](std::size_t n_fft) {
            const std::vector<float> window = stemsplit::hann_window(n_fft);
            return py::array_t<float>(static_cast<py::ssize_t>(n_fft), window.data());
        },
        arg("n_fft"), "Periodic Hann window, float32.");
    module.def(
        "kernel_name",
        [](const std::string& kernel) { return stemsplit::find_kernel(kernel).name; },
        arg("kernel"), "The kernel that name selects; the empty name selects the best.");
    module.def("available_kernels", &kernel_names, "Kernels this machine can run, best first.");

    py::class_<PyStftStream>(module, "StftStream", "stft() fed block by block.")
        .def(py::init<std::size_t, std::size_t, std::size_t, const py::object&, int,
                      const std::string&>(),
             arg("channels"), arg("n_fft"), arg("hop_length"), arg("window"), arg("threads"),
             arg("kernel"))
        .def("process", &PyStftStream::process, arg("block"),
             "Spectra of the frames this block completes.")
        .def("finish", &PyStftStream::finish, "Spectra of the remaining frames.");

    py::class_<PyIstftStream>(module, "IstftStream", "istft() fed frame by frame.")
        .def(py::init<std::size_t, std::size_t, std::size_t, const py::object&, std::size_t,
                      SharedSpread, int, const std::string&>(),
             arg("channels"), arg("n_fft"), arg("hop_length"), arg("window"), arg("stems"),
             arg("spread"), arg("threads"), arg("kernel"))
        .def("process", &PyIstftStream::process, arg("spec"), arg("masks"),
             "Samples that no later frame can change.")
        .def("finish", &PyIstftStream::finish, arg("length"),
             "The remaining samples, up to length in all.");
}
