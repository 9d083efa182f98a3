/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

float mq_fold_min(float acc, float x) {
    return x < acc ? x : acc;
}
