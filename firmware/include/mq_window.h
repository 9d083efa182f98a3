/* Windows that slide over one axis of a map: which of a window's taps meet the map.
 *
 * Convolution and pooling: window i reads the positions origin + k * dilation, origin = i * stride - pad, k the taps.
 * Transposed convolution: output i is met by the taps k with i + pad - k * dilation = j * stride for a position j.
 * mcu_quant/ops/common/window.py is the same in Python.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_WINDOW_H
#define MQ_WINDOW_H

#include "mq_base.h"

/* Taps first, first + 1, ... end - 1. */
typedef struct {
    int32_t first;
    int32_t end;
} mq_taps;

/* The taps of [0, kernel) whose positions lie in [0, size). Divides only where the window sticks out. */
static inline mq_taps mq_taps_inside(int32_t origin, int32_t dilation, int32_t kernel, int32_t size) {
    mq_taps taps = {0, kernel};
    if (origin < 0) {
        taps.first = (dilation - 1 - origin) / dilation;
    }
    if (origin + (kernel - 1) * dilation >= size) {
        taps.end = origin < size ? (size - 1 - origin) / dilation + 1 : 0;
    }
    if (taps.first >= taps.end) {
        taps.first = 0;
        taps.end = 0;
    }
    return taps;
}

/* `count` taps: first, first + step, ...; the first reads position `from`, each next one `move` positions before. */
typedef struct {
    int32_t first;
    int32_t count;
    int32_t from;
} mq_reach;

/* The taps of [0, kernel) through which positions in [0, size) reach the output `at` - pad.
 * step = stride / gcd(stride, dilation), move = dilation / gcd(stride, dilation). */
static inline mq_reach mq_taps_reaching(int32_t at, int32_t stride, int32_t dilation, int32_t kernel, int32_t size,
                                        int32_t step, int32_t move) {
    mq_reach reach = {0, 0, 0};
    int32_t tap = 0;
    while (tap < step && (at - tap * dilation) % stride != 0) {
        tap++;
    }
    if (tap == step) {
        return reach;
    }
    for (int32_t from = (at - tap * dilation) / stride; tap < kernel && from >= 0; tap += step, from -= move) {
        if (from < size) {
            if (reach.count == 0) {
                reach.first = tap;
                reach.from = from;
            }
            reach.count++;
        }
    }
    return reach;
}

#endif
