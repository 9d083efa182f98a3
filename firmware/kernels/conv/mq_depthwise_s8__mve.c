/* One channel at a time, copied into `map` with its pads; mq_mve_depthwise.h has the
 * mathematics. SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_s8
#define MQ_Y(name) name##_s8
#include "mq_mve_depthwise_rows.h"

void mq_depthwise_s8(const int8_t *x, const int8_t *w, int8_t *y, int16_t *map, const mq_conv_shape *s,
                     const mq_conv_params *p) {
    run(x, w, y, map, s, p);
}
