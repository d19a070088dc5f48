// NumPy arrays to views and back: the checks of an argument's type, dimensions and memory.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "stemsplit/view.hpp"

namespace stemsplit::bindings {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

// An array and a view of it; the array keeps the memory alive.
template <class View>
struct Held {
    py::array array;
    View view;
};

// Inputs: the dtype must match exactly; memory the core cannot read in place is copied.
Held<SignalView<const float>> signal_input(const py::object& value, const char* name);
Held<SpectrumView<const Complex>> spectrum_input(const py::object& value, const char* name);
Held<MaskView> mask_input(const py::object& value, const char* name);
std::vector<float> window_input(const py::object& value, std::size_t n_fft);

// Outputs: None makes a new array, its rows padded to whole cache lines; any other value must be
// an array of that dtype and shape, writable, in C order with contiguous rows (gaps between rows
// are left alone), that shares no memory with the inputs.
Held<SpectrumView<Complex>> spectrum_output(const py::object& value, std::size_t channels,
                                            std::size_t frames, std::size_t bins,
                                            const std::vector<py::array>& inputs);
// With stems == 0 the array has no stems axis.
Held<StemsView> stems_output(const py::object& value, std::size_t stems, std::size_t channels,
                             std::size_t samples, const std::vector<py::array>& inputs);

std::string describe(const Shape& shape);
Shape shape_of(const py::array& array);

}  // namespace stemsplit::bindings
