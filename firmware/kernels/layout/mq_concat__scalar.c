/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

#include <string.h>

/* Copy one part of a row if there is one; returns where the next part goes. */
static uint8_t *append(uint8_t *to, const void *part, uint32_t row, uint32_t bytes) {
    if (bytes > 0u) {
        memcpy(to, (const uint8_t *)part + (size_t)row * bytes, bytes);
    }
    return to + bytes;
}

void mq_concat(const void *a, const void *b, const void *c, const void *d, void *y, const mq_concat_params *p) {
    uint8_t *to = (uint8_t *)y;
    for (uint32_t row = 0; row < p->rows; row++) {
        to = append(to, a, row, p->a_bytes);
        to = append(to, b, row, p->b_bytes);
        to = append(to, c, row, p->c_bytes);
        to = append(to, d, row, p->d_bytes);
    }
}
