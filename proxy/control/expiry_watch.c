#include "control/expiry_watch.h"

#include "trust/certificate.h"

#include <stdio.h>

enum expiry_stage expiry_stage_of(int64_t begin, int64_t end, int64_t now)
{
    int64_t life = end - begin, left = end - now;

    if (left <= 0)
        return EXPIRY_STAGE_OVER;
    if (left <= life / 10)
        return EXPIRY_STAGE_TENTH;
    return left <= life / 3 ? EXPIRY_STAGE_THIRD : EXPIRY_STAGE_LONG;
}

static bool is_repeated(const struct expiry_watch *watch, int64_t now)
{
    return watch->told >= EXPIRY_STAGE_TENTH && now - watch->told_at >= EXPIRY_REPEAT_SECONDS;
}

static void line_write(enum expiry_stage stage, bool is_leaf, int64_t end, char line[EXPIRY_LINE_BYTES])
{
    static const char *const texts[] = {
        [EXPIRY_STAGE_LONG] = "%s was renewed and ends at %s",
        [EXPIRY_STAGE_THIRD] = "%s ends at %s: a third of its life is left",
        [EXPIRY_STAGE_TENTH] = "%s ends at %s: a tenth of its life is left, renew it",
        [EXPIRY_STAGE_OVER] = "%s ended at %s: peers refuse it, renew it",
    };
    char time[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(end, time);
    snprintf(line, EXPIRY_LINE_BYTES, texts[stage],
             is_leaf ? "the own certificate" : "an intermediate of the own certificate", time);
}

bool expiry_watch_look(struct expiry_watch *watch, const struct validity *validity, int64_t now,
                       char line[EXPIRY_LINE_BYTES])
{
    bool is_leaf = !validity->intermediates || validity->leaf <= validity->intermediates;
    int64_t end = is_leaf ? validity->leaf : validity->intermediates;
    enum expiry_stage stage = expiry_stage_of(validity->leaf_begin, end, now);
    bool is_new = end != watch->end;

    if (!end) {
        *watch = (struct expiry_watch) { 0 };
        return false;
    }
    bool is_told = is_new ? stage == EXPIRY_STAGE_LONG && watch->told == EXPIRY_STAGE_LONG
                          : stage <= watch->told && !is_repeated(watch, now);
    watch->end = end;
    if (is_told)
        return false;
    watch->told = stage;
    watch->told_at = now;
    line_write(stage, is_leaf, end, line);
    return true;
}
