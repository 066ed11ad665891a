-- Full-text search in every language. memos_mcp/domain/scripts.py and memos_mcp/retrieval/detection.py do the same for
-- the index, and say why. Characters are escaped, because a database need not have UTF-8.

-- A text with one form for each character, and with spaces around runs of characters that are written without any. A
-- Hebrew word also comes without its prefixes, and a Korean one of one syllable without its particle.
CREATE FUNCTION spaced_text(content text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    marks    CONSTANT text := '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670\u0e47-\u0e4e'
        '\u0ec8-\u0ece\u1037\u1039\u103a\u17c9-\u17d3\u17dd\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]';
    prefixes CONSTANT text := '(?<![\u05d0-\u05ea])([\u05d1\u05d4\u05d5\u05db\u05dc\u05de\u05e9]{1,2})'
        '([\u05d0-\u05ea]{3,})';
    particle CONSTANT text := '(\uc740|\ub294|\uc774|\uac00|\uc744|\ub97c|\uc5d0|\uc5d0\uc11c|\uc5d0\uac8c|\uc758'
        '|\uc640|\uacfc|\ub3c4|\ub85c|\uc73c\ub85c|\ub9cc|\ubd80\ud130|\uae4c\uc9c0|\ubcf4\ub2e4|\ucc98\ub7fc'
        '|\ud55c\ud14c|\uc774\ub098|\ub098|\uc774\ub2e4)(?![\uac00-\ud7a3])';
BEGIN
    IF octet_length(content) = char_length(content) OR getdatabaseencoding() <> 'UTF8'
       OR content !~ '[\u00ad\u0300-\u1fff\u2e80-\ufffd\U00010000-\U000fffff]' THEN
        RETURN content;
    END IF;
    content := regexp_replace(normalize(content, NFKC), marks, '', 'g');
    content := regexp_replace(content, '[\u0622\u0623\u0625\u0671]', chr(1575), 'g');
    content := regexp_replace(content, '\u0649', chr(1610), 'g');
    content := regexp_replace(content, prefixes, '\1\2 \2', 'g');
    content := regexp_replace(content, '(?<=[0-9A-Za-z])' || particle, ' ', 'g');
    content := regexp_replace(content, '(?<![\uac00-\ud7a3])([\uac00-\ud7a3])' || particle, '\1\2 \1 ', 'g');
    RETURN regexp_replace(content, '([\u0e01-\u0e4e\u0e81-\u0ec6\u1000-\u103f\u1050-\u1081\u1780-\u17c8\u3005-\u3007'
        '\u3041-\u3096\u30a1-\u30fa\u30fc-\u312f\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]+)', ' \1 ', 'g');
END
$$;

-- The pairs of characters in such runs, each with the vowels that belong to it, and single Han characters.
CREATE FUNCTION pairs_of_characters(content text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(string_agg(word, ' ' ORDER BY run, position), '')
      FROM (
        SELECT run, position, one[1] || lead(one[1]) OVER (PARTITION BY run ORDER BY position) AS pair,
               CASE WHEN count(*) OVER (PARTITION BY run) = 1
                      OR one[1] ~ '[\u3005-\u3007\u3400-\u9fff\U00020000-\U0003ffff]' THEN one[1] END AS single
          FROM regexp_matches(content, '[\u0e01-\u0e4e\u0e81-\u0ec6\u1000-\u103f\u1050-\u1081\u1780-\u17c8\u3005-\u3007'
               '\u3041-\u3096\u30a1-\u30fa\u30fc-\u312f\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]+', 'g')
               WITH ORDINALITY AS runs (characters, run),
               regexp_matches(characters[1], '.[\u0e31\u0e34-\u0e3a\u0eb1\u0eb4-\u0ebc\u17b6-\u17c8\u102b-\u1036\u1038'
               '\u103b-\u103e\u1056-\u1059]*', 'g') WITH ORDINALITY AS split (one, position)
      ) AS characters,
      unnest(ARRAY[pair, single]) AS word
$$;

-- The languages whose stems a text needs besides those of English: those of its scripts, and those of which it has most
-- stop words and letters, unless it has as many stop words of English.
CREATE FUNCTION languages_of(content text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT language
      FROM (VALUES ('russian', '[\u0400-\u04ff]'), ('greek', '[\u0370-\u03ff]'), ('arabic', '[\u0600-\u06ff]'))
           AS scripts (language, letters)
     WHERE content ~ letters
    UNION
    SELECT language
      FROM (
        SELECT language
          FROM (VALUES
            ('english', ''), ('danish', '[\u00e5\u00e6\u00f8]'), ('dutch', ''),
            ('finnish', '[\u00e4\u00f6]|(ss|st|ll|lt)a\M'), ('french', '[\u00e0\u00e7-\u00ea\u00f4\u0153]'),
            ('german', '[\u00e4\u00f6\u00fc\u00df]'),
            ('hungarian', '[\u00e1\u00e9\u00ed\u00f3\u00f6\u0151\u00fa\u00fc\u0171]'),
            ('italian', '[\u00e0\u00e8\u00ec\u00f2\u00f9]'), ('norwegian', '[\u00e5\u00e6\u00f8]'),
            ('portuguese', '[\u00e1\u00e2\u00e3\u00e7\u00e9\u00ea\u00f3\u00f5]'),
            ('spanish', '[\u00e1\u00e9\u00ed\u00f1\u00f3\u00fa]'), ('swedish', '[\u00e4\u00e5\u00f6]'),
            ('turkish', '[\u00e7\u011f\u0131\u00f6\u015f\u00fc]')
          ) AS latin (language, letters),
          LATERAL (
            SELECT count(*) FILTER (WHERE ts_lexize((language || '_stem')::regdictionary, word) = '{}')
                   + (letters <> '' AND content ~* letters)::int AS signs
              FROM unnest(string_to_array(translate(lower(left(content, 300)), '?!.,;:()"', '         '), ' ')) AS word
             WHERE word <> ''
          ) AS counted
         WHERE signs > 0
         ORDER BY signs DESC, language = 'english' DESC
         FETCH FIRST ROW WITH TIES
      ) AS most
     WHERE language <> 'english'
$$;

-- The words of a text by their English stems, and by those of its own language without that language's stop words; the
-- pairs of its characters. A text that exceeds a tsvector's megabyte is searchable by its beginning.
CREATE FUNCTION words_of_languages(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path FROM CURRENT -- pg_restore fills the tables with an empty one
AS $$
DECLARE
    words    CONSTANT text := spaced_text(content);
    found    tsvector;
    language text;
BEGIN
    found := to_tsvector('pg_catalog.english', words);
    IF getdatabaseencoding() <> 'UTF8' THEN
        RETURN found;
    END IF;
    FOR language IN SELECT languages_of(words) LOOP
        found := ts_delete(found, ARRAY(
            SELECT word
              FROM unnest(tsvector_to_array(found)) AS word
             WHERE ts_lexize((language || '_stem')::regdictionary, word) = '{}'
        )) || to_tsvector(('pg_catalog.' || language)::regconfig, words);
    END LOOP;
    RETURN found || to_tsvector('pg_catalog.simple', pairs_of_characters(words));
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN words_of_languages(left(content, least(60000, char_length(content) / 2)));
END
$$;

-- Most texts are English; the words are those by which memos_mcp/retrieval/detection.py decides. Not in SQL, because each
-- INSERT would plan it; with the schema in its body, because pg_restore searches none.
DO $do$
BEGIN
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION searchable_text(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF octet_length(content) = char_length(content) AND (
        content ~ ' (the|to|and|of|you) ' OR content !~* ('\m('
        'af|auf|avec|bei|beim|bij|bir|ble|blev|blir|bliver|cette|chi|combien|como|csak|cum|dans|das|dei|'
        'del|della|delle|dem|der|een|egy|ei|ein|eine|einem|einen|einer|est|este|et|ett|gli|haben|hangi|'
        'het|hogy|hogyan|hur|hva|hvad|hvem|hvilke|hvilken|hvilket|hvor|hvordan|ich|ik|ikke|inte|ist|ja|'
        'jag|jeg|joka|jotka|kenelle|ki|kim|kinek|kuin|kuinka|kuka|kun|melyik|mennyi|met|mihin|mijn|mikor|'
        'miksi|mille|milloin|minun|mit|miten|montako|mutta|naar|nach|neden|nella|nem|nerede|nicht|niet|'
        'nosso|nostro|nous|nuestro|och|og|olan|onde|onze|ook|paljonko|para|pela|pelo|pentru|por|pourquoi|'
        'quais|qual|quale|quali|quand|quando|quanti|quanto|que|quel|quelle|quelles|quels|quem|qui|sich|'
        'sind|som|sono|sont|sunt|til|till|uit|una|und|unde|une|vad|vain|vem|vilka|vilken|vilket|volt|von|'
        'voor|vous|waar|wann|wanneer|warum|wat|welche|welchem|welchen|welcher|welches|welk|welke|wem|wer|'
        'werden|wie|wir|wird|wo|worden|wordt|wurde|zijn|zum|zur'
        ')\M|(lla|ssa|sta|lle|lta) ')
    ) THEN
        RETURN to_tsvector('pg_catalog.english', content);
    END IF;
    RETURN %I.words_of_languages(content);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('pg_catalog.english', left(content, 60000));
END
$$
    $create$, current_schema());
END
$do$;

-- As before, but a question in Chinese has two words for each character, so more of them count.
CREATE OR REPLACE FUNCTION any_word_of(question text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
          FROM (
            SELECT lexeme
              FROM unnest(searchable_text(left(question, 20000)))
             ORDER BY cardinality(positions) DESC, positions[1]
             LIMIT 256
          ) AS words
    );

-- Recompute what is stored, where it changed. The contents stay equal, so no trigger marks a memory.
UPDATE agent_memories SET content = content WHERE search <> searchable_text(content);

ALTER TABLE registered_tools DROP COLUMN search;
ALTER TABLE registered_tools ADD COLUMN search tsvector GENERATED ALWAYS AS (
    setweight(searchable_text(split_identifier(name) || ' ' || split_identifier(tool_id)), 'A')
    || setweight(searchable_text(description), 'B')
    || setweight(jsonb_to_tsvector('pg_catalog.english', coalesce(request_schema, '{}'), '["key", "string"]'), 'D')
    || setweight(
        to_tsvector('pg_catalog.simple', pairs_of_characters(spaced_text(coalesce(request_schema::text, '')))), 'D')
) STORED;
CREATE INDEX idx_tools_search ON registered_tools USING gin (search);
