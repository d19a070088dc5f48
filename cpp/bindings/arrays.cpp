// NumPy arrays to views and back: checks, copies where memory cannot be read in place, new arrays.
#include "arrays.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "stemsplit/memory.hpp"

namespace stemsplit::bindings {
namespace {

using std::to_string;

std::string got_wanted(const std::string& name, const std::string& got, const std::string& wanted) {
    return name + ": got " + got + ", wanted " + wanted;
}

// The name of a dtype runs Python code, in which a daemon thread may be ended and what it holds
// here be given up without the GIL: so it is asked for only where it is needed.
template <class T>
[[noreturn]] void refuse_type(const char* name, const std::string& got, const char* others) {
    const auto wanted = "a NumPy array of " + py::str(py::dtype::of<T>()).cast<std::string>();
    throw py::type_error(got_wanted(name, got, wanted + others));
}

template <class T>
py::array typed(const py::object& value, const char* name, const char* others = "") {
    if (!py::isinstance<py::array>(value)) {
        const auto type = py::str(py::type::of(value).attr("__name__")).cast<std::string>();
        refuse_type<T>(name, type, others);
    }
    auto array = py::reinterpret_borrow<py::array>(value);
    if (!py::isinstance<py::array_t<T>>(array)) {
        refuse_type<T>(name, "dtype " + py::str(array.dtype()).cast<std::string>(), others);
    }
    return array;
}

bool is_aligned(const py::array& array) {
    return array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_;
}

// Stride of an axis in elements; axes of one step have none.
Stride step(const py::array& array, int axis) {
    return array.shape(axis) > 1 ? array.strides(axis) / array.itemsize() : 0;
}

Stride last_step(const py::array& array) {
    const int last = static_cast<int>(array.ndim()) - 1;
    return array.shape(last) > 1 ? step(array, last) : 1;
}

bool steps_are_whole(const py::array& array) {
    for (int axis = 0; axis < array.ndim(); ++axis) {
        if (array.shape(axis) > 1 && array.strides(axis) % array.itemsize() != 0) return false;
    }
    return true;
}

// By NumPy itself: a subclass may have a copy() of its own.
py::array copied(const py::array& array) {
    return py::array(py::module_::import("numpy").attr("array")(array, py::arg("order") = "C"));
}

// Typed, of that many axes, and readable with whole-element strides.
template <class T>
py::array readable(const py::object& value, const char* name, const char* axes, int ndim) {
    py::array array = typed<T>(value, name);
    if (array.ndim() != ndim) {
        throw py::value_error(got_wanted(name, "shape " + describe(shape_of(array)), axes));
    }
    return is_aligned(array) && steps_are_whole(array) ? array : copied(array);
}

void check_channels(const py::array& array, int axis, const char* name) {
    if (array.shape(axis) == 0) {
        throw py::value_error(got_wanted(name, "0 channels", "at least 1"));
    }
}

std::size_t extent(const py::array& array, int axis) {
    return static_cast<std::size_t>(array.shape(axis));
}

std::size_t product(const Shape& shape, std::size_t item) {
    std::size_t total = item;
    for (const py::ssize_t length : shape) {
        const auto factor = static_cast<std::size_t>(length);
        if (factor &&
            total > static_cast<std::size_t>(std::numeric_limits<Stride>::max()) / factor) {
            throw py::value_error("output: got shape " + describe(shape) +
                                  ", wanted one that fits into memory");
        }
        total *= factor;
    }
    return total;
}

// First and one past the last byte an array can touch.
struct Bounds {
    std::uintptr_t begin, end;
};

Bounds bounds(const py::array& array) {
    auto begin = reinterpret_cast<std::uintptr_t>(array.data()), end = begin;
    for (int axis = 0; axis < array.ndim(); ++axis) {
        if (array.shape(axis) == 0) return {begin, begin};
        const py::ssize_t reach = (array.shape(axis) - 1) * array.strides(axis);
        (reach < 0 ? begin : end) += static_cast<std::uintptr_t>(reach);
    }
    return {begin, end + static_cast<std::uintptr_t>(array.itemsize())};
}

// C order, rows contiguous, no two elements in one place.
bool rows_in_order(const py::array& array) {
    py::ssize_t least = array.itemsize();
    for (int axis = static_cast<int>(array.ndim()) - 1; axis >= 0; --axis) {
        if (array.shape(axis) == 0) return true;
        if (array.shape(axis) == 1) continue;
        const py::ssize_t stride = array.strides(axis);
        if (axis + 1 == array.ndim() ? stride != least : stride < least) return false;
        least = stride * (array.shape(axis) - 1) + least;
    }
    return true;
}

template <class T>
py::array checked_output(const py::object& value, const Shape& shape,
                         const std::vector<py::array>& inputs) {
    py::array array = typed<T>(value, "out");
    if (shape_of(array) != shape) {
        throw py::value_error(
            got_wanted("out", "shape " + describe(shape_of(array)), "shape " + describe(shape)));
    }
    if (!array.writeable()) {
        throw py::value_error(got_wanted("out", "a read-only array", "a writable one"));
    }
    if (!is_aligned(array) || !steps_are_whole(array) || !rows_in_order(array)) {
        throw py::value_error(
            got_wanted("out", "other strides", "C order with contiguous, aligned rows"));
    }
    const Bounds mine = bounds(array);
    for (const py::array& input : inputs) {
        const Bounds theirs = bounds(input);
        if (mine.begin < theirs.end && theirs.begin < mine.end) {
            throw py::value_error(got_wanted("out", "memory of an input", "memory of its own"));
        }
    }
    return array;
}

// A new array whose rows start on cache lines. Channels are an odd number of lines apart: a power
// of two between them would make their rows fight for the same cache sets.
template <class T>
py::array padded_output(const Shape& shape) {
    const auto item = static_cast<py::ssize_t>(sizeof(T));
    const auto line = static_cast<py::ssize_t>(kCacheLine);
    const auto lines = [&](py::ssize_t bytes) { return (bytes + line - 1) / line; };
    Shape generous = shape;
    generous.back() += line;
    if (generous.size() > 2) generous[generous.size() - 2] += 1;
    product(generous, sizeof(T));
    Shape strides(shape.size());
    strides.back() = item;
    py::ssize_t below = shape.back() * item;
    for (std::size_t axis = shape.size() - 1; axis-- > 0;) {
        const bool rows_of_frames = axis == 1 && shape.size() == 3 && sizeof(T) == sizeof(Complex);
        strides[axis] = (rows_of_frames ? lines(below) : lines(below) | 1) * line;
        below = strides[axis] * shape[axis];
    }
    py::array_t<float> base(below / static_cast<py::ssize_t>(sizeof(float)) + line);
    const auto start = reinterpret_cast<std::uintptr_t>(base.mutable_data());
    auto* const data = reinterpret_cast<void*>(round_up(start, kCacheLine));
    return py::array(py::dtype::of<T>(), shape, strides, data, base);
}

}  // namespace

std::string describe(const Shape& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

Shape shape_of(const py::array& array) {
    return Shape(array.shape(), array.shape() + array.ndim());
}

Held<SignalView<const float>> signal_input(const py::object& value, const char* name) {
    py::array array = readable<float>(value, name, "(channels, samples)", 2);
    check_channels(array, 0, name);
    if (last_step(array) != 1) array = copied(array);
    return {array,
            {static_cast<const float*>(array.data()), extent(array, 0), extent(array, 1),
             step(array, 0)}};
}

Held<SpectrumView<const Complex>> spectrum_input(const py::object& value, const char* name) {
    py::array array = readable<Complex>(value, name, "(channels, frames, bins)", 3);
    check_channels(array, 0, name);
    return {array,
            {static_cast<const Complex*>(array.data()), extent(array, 0), extent(array, 1),
             extent(array, 2), step(array, 0), step(array, 1), last_step(array)}};
}

Held<MaskView> mask_input(const py::object& value, const char* name) {
    py::array array = readable<float>(value, name, "(stems, channels or 1, frames, bins)", 4);
    if (array.shape(0) == 0) throw py::value_error(got_wanted(name, "0 stems", "at least 1"));
    check_channels(array, 1, name);
    return {array,
            {static_cast<const float*>(array.data()), extent(array, 0), extent(array, 1),
             extent(array, 2), extent(array, 3), step(array, 0), step(array, 1), step(array, 2),
             last_step(array)}};
}

std::vector<float> window_input(const py::object& value, std::size_t n_fft) {
    const bool is_double = py::isinstance<py::array_t<double>>(value);
    if (!is_double) typed<float>(value, "window", " or float64");
    const auto array = py::reinterpret_borrow<py::array>(value);
    const Shape wanted{static_cast<py::ssize_t>(n_fft)};
    if (shape_of(array) != wanted) {
        throw py::value_error(got_wanted("window", "shape " + describe(shape_of(array)),
                                         "shape " + describe(wanted) + ", n_fft samples"));
    }
    // In double, as NumPy warns of what a float cannot hold.
    const py::array_t<double, py::array::c_style | py::array::forcecast> samples(array);
    std::vector<float> window(n_fft);
    for (std::size_t i = 0; i < n_fft; ++i) {
        window[i] = static_cast<float>(samples.data()[i]);
        if (!std::isfinite(window[i])) {
            throw py::value_error(
                got_wanted("window", "a sample that is no finite float32", "finite ones"));
        }
    }
    return window;
}

Held<SpectrumView<Complex>> spectrum_output(const py::object& value, std::size_t channels,
                                            std::size_t frames, std::size_t bins,
                                            const std::vector<py::array>& inputs) {
    const Shape shape{static_cast<py::ssize_t>(channels), static_cast<py::ssize_t>(frames),
                      static_cast<py::ssize_t>(bins)};
    py::array array = value.is_none() ? padded_output<Complex>(shape)
                                      : checked_output<Complex>(value, shape, inputs);
    return {array,
            {static_cast<Complex*>(array.mutable_data()), channels, frames, bins, step(array, 0),
             step(array, 1), 1}};
}

Held<StemsView> stems_output(const py::object& value, std::size_t stems, std::size_t channels,
                             std::size_t samples, const std::vector<py::array>& inputs) {
    Shape shape{static_cast<py::ssize_t>(channels), static_cast<py::ssize_t>(samples)};
    if (stems) shape.insert(shape.begin(), static_cast<py::ssize_t>(stems));
    py::array array =
        value.is_none() ? padded_output<float>(shape) : checked_output<float>(value, shape, inputs);
    const int channel_axis = stems ? 1 : 0;
    return {array,
            {static_cast<float*>(array.mutable_data()), stems ? stems : 1, channels, samples,
             stems ? step(array, 0) : 0, step(array, channel_axis)}};
}

}  // namespace stemsplit::bindings
