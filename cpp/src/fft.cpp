// Plans: cuts a transform length into passes and computes their twiddle factors.
#include "stemsplit/fft.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "stemsplit/dispatch.hpp"
#include "stemsplit/memory.hpp"

namespace stemsplit {
namespace {

struct Plan {
    PlanView view;
    AlignedFloats tables[kMaxPasses];
    std::vector<std::uint32_t> order;
};

int log2_of(std::size_t n) {
    return static_cast<int>(std::bit_width(n)) - 1;
}

// log2 of the radices. The first pass turns whole tiles of lanes x lanes; the rest share what is
// left as evenly as they can, because one wide and one narrow pass cost more than two of a size.
std::vector<int> factor(int log2_n, int log2_lanes, int log2_radix) {
    const int first = std::min(log2_radix, log2_n - log2_lanes);
    const int rest = log2_n - first;
    const int count = (rest + log2_radix - 1) / log2_radix;
    std::vector<int> radices{first};
    for (int i = 0; i < count; ++i) radices.push_back(rest / count + (i < rest % count ? 1 : 0));
    return radices;
}

// exp(-2 pi i q k / (stride radix)) for every block of q, every leg k >= 1.
AlignedFloats twiddles(std::size_t stride, std::size_t radix, std::size_t lanes) {
    AlignedFloats table = allocate_floats(2 * stride * (radix - 1));
    const double turn = -2 * std::numbers::pi / static_cast<double>(stride * radix);
    float* next = table.get();
    for (std::size_t q = 0; q < stride; q += lanes) {
        for (std::size_t k = 1; k < radix; ++k) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const double angle = turn * static_cast<double>((q + lane) * k);
                next[lane] = static_cast<float>(std::cos(angle));
                next[lanes + lane] = static_cast<float>(std::sin(angle));
            }
            next += 2 * lanes;
        }
    }
    return table;
}

// Where the first pass leaves each of its spectra, so that every later pass finds its legs in the
// places of its results: at the digits of its number, reversed. The last digit counts legs of the
// last pass, which are padded apart.
std::vector<std::uint32_t> digit_reversal(const PlanView& plan) {
    const auto first = static_cast<std::size_t>(plan.passes[0].radix);
    std::vector<std::uint32_t> order(plan.n / first);
    for (std::size_t p = 0; p < order.size(); ++p) {
        std::size_t rest = p, below = order.size(), offset = 0, weight = 2 * first;
        for (int i = 1; i < plan.pass_count; ++i) {
            const auto radix = static_cast<std::size_t>(plan.passes[i].radix);
            below /= radix;
            offset += rest / below * (i + 1 < plan.pass_count ? weight : plan.leg_pitch);
            rest %= below;
            weight *= radix;
        }
        order[p] = static_cast<std::uint32_t>(offset);
    }
    return order;
}

std::unique_ptr<Plan> build(const Kernel& kernel, std::size_t n) {
    const int log2_n = log2_of(n);
    std::size_t lanes = static_cast<std::size_t>(kernel.max_lanes);
    if (lanes * lanes > n) lanes /= 2;
    auto plan = std::make_unique<Plan>();
    plan->view = {n, static_cast<int>(lanes), 0, {}, 0, nullptr};
    std::size_t stride = 1;
    for (int log2_radix : factor(log2_n, log2_of(lanes), kernel.max_log2_radix)) {
        const std::size_t radix = std::size_t{1} << log2_radix;
        const int pass = plan->view.pass_count++;
        if (pass > 0) plan->tables[pass] = twiddles(stride, radix, lanes);
        plan->view.passes[pass] = {static_cast<int>(radix), stride, plan->tables[pass].get()};
        plan->view.leg_pitch = Carver::padded(2 * stride);
        stride *= radix;
    }
    plan->order = digit_reversal(plan->view);
    plan->view.order = plan->order.data();
    return plan;
}

// Plans live for ever: a few hundred kilobytes at most for the sizes in use.
std::atomic<const Plan*> plans[kMaxKernels][kMaxLog2 - kMinLog2 + 1];

}  // namespace

bool is_valid_n_fft(std::size_t n) {
    return std::has_single_bit(n) && log2_of(n) >= kMinLog2 && log2_of(n) <= kMaxLog2;
}

const PlanView& plan_for(const Kernel& kernel, std::size_t n) {
    std::atomic<const Plan*>& slot = plans[kernel.index][log2_of(n) - kMinLog2];
    if (const Plan* plan = slot.load(std::memory_order_acquire)) return plan->view;
    std::unique_ptr<Plan> built = build(kernel, n);
    const Plan* winner = nullptr;
    if (slot.compare_exchange_strong(winner, built.get(), std::memory_order_acq_rel)) {
        winner = built.release();
    }
    return winner->view;
}

}  // namespace stemsplit
