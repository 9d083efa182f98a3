/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

static int32_t largest_of(const int8_t *x, const int8_t *end, uint32_t step) {
    int32_t largest = *x;
    for (; x != end; x += step) {
        const int32_t v = *x;
        largest = v > largest ? v : largest;
    }
    return largest;
}

static uint64_t sum_of(const int8_t *x, const int8_t *end, uint32_t step, const int32_t *powers, int32_t largest) {
    uint32_t low = 0;
    uint32_t high = 0;
    for (; x != end; x += step) {
        const uint32_t power = (uint32_t)powers[largest - *x];
        low += power;
        high += low < power;
    }
    return ((uint64_t)high << 32) | low;
}

/* Values `step` apart, from x to before `end`. */
static void row(const int8_t *x, const int8_t *end, int8_t *y, const mq_softmax_s8_params *p) {
    const uint32_t step = p->inner;
    const int32_t *powers = p->powers;
    const int32_t zero = p->y_zero;
    const int32_t largest = largest_of(x, end, step);
    const uint64_t sum = sum_of(x, end, step, powers, largest);
    const int32_t bits = mq_bit_length(sum);
    const uint32_t top = (uint32_t)(sum >> (bits - 16));
    const int32_t wanted = bits + 1 - p->y_shift;
    const uint32_t quotient = ((uint32_t)p->y_multiplier + (top >> 1)) / top;
    const uint32_t factor = wanted > 31 ? 0u : (wanted < 1 ? 65536u : quotient);
    const uint32_t shift = (uint32_t)mq_clamp(wanted, 1, 31);
    const uint32_t half = (1u << shift) >> 1;
    for (; x != end; x += step) {
        const uint32_t power = (uint32_t)powers[largest - *x] >> 15;
        *y = mq_sat_s8((int32_t)((power * factor + half) >> shift) + zero);
        y += step;
    }
}

void mq_softmax_s8(const int8_t *x, int8_t *y, const mq_softmax_s8_params *p) {
    const size_t block = (size_t)p->count * p->inner;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            row(x + i, x + i + block, y + i, p);
        }
        x += block;
        y += block;
    }
}
