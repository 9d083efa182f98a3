/* Several windows at a time are laid out in `patch`, then multiplied with packed rows; mq_mve_conv.h has the
 * mathematics. SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_s8
#define MQ_Y(name) name##_s16
#include "mq_mve_conv_rows.h"

void mq_conv_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, int16_t *patch, const mq_conv_shape *s,
                    const mq_conv_params *p) {
    run(x, w, y, patch, s, p);
}
