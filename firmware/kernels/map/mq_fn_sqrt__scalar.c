/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_sqrt(float x, const float *parameters) {
    (void)parameters;
    return MQ_SQRT(x);
}
