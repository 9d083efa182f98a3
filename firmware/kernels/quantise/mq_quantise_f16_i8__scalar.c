/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

#include "mq_fixed.h"
#include "mq_float.h"

void mq_quantise_f16_i8(const mq_f16 *x, int8_t *y, const mq_quantise_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t c = 0; c < p->channels; c++) {
            const float scale = p->scale[c];
            const int32_t zero = p->zero[c];
            for (uint32_t i = 0; i < p->inner; i++) {
                *y++ = mq_sat_s8(mq_round(mq_f16_to_f32(*x++) / scale) + zero);
            }
        }
    }
}
