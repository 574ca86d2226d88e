# ruff: noqa: RUF001, E501 (texts of many scripts)
"""Clean text and planted faults in fifteen languages, written for these tests.

For each language: a passage, a clean instruction with its clean answer, and faulty wordings: two
instructions and two answers that point at a source, two refusals, two answers that open with
chatter, two yes/no questions.
"""

from __future__ import annotations

from typing import NamedTuple


class Texts(NamedTuple):
    passage: str
    instruction: str
    answer: str
    pointing_instructions: tuple[str, str]
    pointing_answers: tuple[str, str]
    refusals: tuple[str, str]
    chatter: tuple[str, str]
    yes_no: tuple[str, str]


TEXTS = {
    "en": Texts(
        "The settlers rebuilt the stone bridge before the winter came. They used oak beams from the old mill, because new timber would have cracked in the frost. Every family gave two days of work, and nobody was paid.",
        "How did the settlers manage to rebuild their bridge without money?",
        "Each family worked for two days without pay. Oak beams from the old mill were used again, since fresh timber would have cracked when the frost set in.",
        ("What does the author say about the bridge?", "Summarize the passage in two sentences."),
        (
            "According to the passage, every family gave two days of work.",
            "In the passage, oak beams were used for the bridge.",
        ),
        (
            "I'm sorry, but I can't help with that request.",
            "As an AI language model, I do not have opinions on bridges.",
        ),
        (
            "Sure, here is the answer: they used oak beams.",
            "Here is a concise summary of the passage: the bridge was rebuilt.",
        ),
        ("Did the settlers rebuild the bridge?", "Is oak better than new timber?"),
    ),
    "de": Texts(
        "Die Siedler bauten die steinerne Brücke wieder auf, bevor der Winter kam. Sie nahmen Eichenbalken aus der alten Mühle, weil frisches Holz im Frost gerissen wäre. Jede Familie gab zwei Tage Arbeit, und niemand wurde bezahlt.",
        "Wie gelang es den Siedlern, ihre Brücke ohne Geld wieder aufzubauen?",
        "Jede Familie arbeitete zwei Tage ohne Lohn. Die Eichenbalken der alten Mühle wurden noch einmal verwendet, da frisches Holz beim ersten Frost gerissen wäre.",
        ("Was sagt der Autor über die Brücke?", "Was wird im Text über die Brücke berichtet?"),
        (
            "Laut dem Text gab jede Familie zwei Tage Arbeit.",
            "Wie im obigen Abschnitt erwähnt, nahm man Eichenbalken.",
        ),
        (
            "Es tut mir leid, aber dabei kann ich nicht helfen.",
            "Als KI habe ich keine Meinung zu Brücken.",
        ),
        (
            "Natürlich! Die Siedler nahmen Eichenbalken.",
            "Antwort: Die Siedler nahmen Eichenbalken.",
        ),
        ("Haben die Siedler die Brücke wieder aufgebaut?", "Ist Eiche besser als frisches Holz?"),
    ),
    "fr": Texts(
        "Les colons ont reconstruit le pont de pierre avant l'arrivée de l'hiver. Ils ont pris les poutres de chêne du vieux moulin, parce que du bois frais se serait fendu avec le gel. Chaque famille a donné deux jours de travail et personne n'a été payé.",
        "Comment les colons ont-ils pu reconstruire leur pont sans argent ?",
        "Chaque famille a travaillé deux jours sans salaire. On a réutilisé les poutres de chêne du vieux moulin, car du bois frais se serait fendu dès les premières gelées.",
        ("Que dit l'auteur à propos du pont ?", "Que raconte-t-on du pont dans le texte ?"),
        (
            "Selon le texte, chaque famille a donné deux jours.",
            "Comme mentionné ci-dessus, on a pris des poutres de chêne.",
        ),
        (
            "Je suis désolé, mais je ne peux pas répondre à cette demande.",
            "En tant que modèle de langage, je n'ai pas d'avis sur les ponts.",
        ),
        (
            "Bien sûr, les colons ont pris des poutres de chêne.",
            "Réponse : les colons ont pris des poutres de chêne.",
        ),
        (
            "Est-ce que les colons ont reconstruit le pont ?",
            "Peut-on bâtir un pont avec du bois frais ?",
        ),
    ),
    "es": Texts(
        "Los colonos reconstruyeron el puente de piedra antes de que llegara el invierno. Usaron vigas de roble del viejo molino, porque la madera fresca se habría partido con la helada. Cada familia dio dos días de trabajo y nadie cobró nada.",
        "¿Cómo lograron los colonos reconstruir su puente sin dinero?",
        "Cada familia trabajó dos días sin cobrar. Se aprovecharon las vigas de roble del viejo molino, ya que la madera fresca se habría partido con las primeras heladas.",
        ("¿Qué dice el autor sobre el puente?", "¿Qué se cuenta en el texto sobre el puente?"),
        ("Según el texto, cada familia dio dos días.", "En el pasaje se usaron vigas de roble."),
        (
            "Lo siento, pero no puedo ayudar con esa petición.",
            "Como modelo de lenguaje, no tengo opiniones sobre puentes.",
        ),
        (
            "¡Claro! Los colonos usaron vigas de roble.",
            "Respuesta: los colonos usaron vigas de roble.",
        ),
        ("¿Se puede construir un puente con madera fresca?", "¿Fue reconstruido el puente?"),
    ),
    "pt": Texts(
        "Os colonos reconstruíram a ponte de pedra antes de chegar o inverno. Usaram vigas de carvalho do velho moinho, porque a madeira fresca teria rachado com a geada. Cada família deu dois dias de trabalho e ninguém recebeu nada.",
        "Como os colonos conseguiram reconstruir a sua ponte sem dinheiro?",
        "Cada família trabalhou dois dias sem receber. As vigas de carvalho do velho moinho foram usadas outra vez, pois a madeira fresca teria rachado com as primeiras geadas.",
        ("O que o autor diz sobre a ponte?", "O que se conta no texto sobre a ponte?"),
        (
            "Segundo o texto, cada família deu dois dias.",
            "Como mencionado acima, usaram vigas de carvalho.",
        ),
        (
            "Sinto muito, mas não posso ajudar com esse pedido.",
            "Como um modelo de linguagem, não tenho opinião sobre pontes.",
        ),
        (
            "Claro! Os colonos usaram vigas de carvalho.",
            "Resposta: os colonos usaram vigas de carvalho.",
        ),
        (
            "É possível construir uma ponte com madeira fresca?",
            "Foram os colonos que a reconstruíram?",
        ),
    ),
    "it": Texts(
        "I coloni ricostruirono il ponte di pietra prima che arrivasse l'inverno. Usarono le travi di quercia del vecchio mulino, perché il legno fresco si sarebbe spaccato con il gelo. Ogni famiglia diede due giorni di lavoro e nessuno fu pagato.",
        "Come riuscirono i coloni a ricostruire il loro ponte senza denaro?",
        "Ogni famiglia lavorò due giorni senza paga. Le travi di quercia del vecchio mulino vennero usate di nuovo, poiché il legno fresco si sarebbe spaccato con le prime gelate.",
        ("Che cosa dice l'autore del ponte?", "Che cosa si racconta nel testo sul ponte?"),
        (
            "Secondo il testo, ogni famiglia diede due giorni.",
            "Nel brano si usarono travi di quercia.",
        ),
        (
            "Mi dispiace, ma non posso aiutarti con questa richiesta.",
            "In quanto modello linguistico, non ho opinioni sui ponti.",
        ),
        (
            "Certo! I coloni usarono travi di quercia.",
            "Risposta: i coloni usarono travi di quercia.",
        ),
        ("È possibile costruire un ponte con legno fresco?", "Si può lavorare senza paga?"),
    ),
    "ru": Texts(
        "Поселенцы восстановили каменный мост до прихода зимы. Они взяли дубовые балки со старой мельницы, потому что свежее дерево треснуло бы на морозе. Каждая семья отработала два дня, и никому не заплатили.",
        "Как поселенцам удалось восстановить свой мост без денег?",
        "Каждая семья отработала два дня бесплатно. Дубовые балки старой мельницы пошли в дело снова, ведь свежее дерево треснуло бы при первых морозах.",
        ("Что говорит автор о мосте?", "Что рассказано в тексте о мосте?"),
        (
            "Согласно тексту, каждая семья отработала два дня.",
            "Как сказано выше, взяли дубовые балки.",
        ),
        (
            "Извините, но с этим запросом помочь нельзя.",
            "Как языковая модель, мнения о мостах не имею.",
        ),
        ("Конечно! Поселенцы взяли дубовые балки.", "Ответ: поселенцы взяли дубовые балки."),
        ("Можно ли построить мост из свежего дерева?", "Был ли мост восстановлен?"),
    ),
    "zh": Texts(
        "移民们在冬天到来之前重建了石桥。他们用了旧磨坊的橡木梁，因为新砍的木头会在霜冻中开裂。每个家庭出了两天的劳力，没有人拿到报酬。",
        "移民们没有钱，他们怎样重建了石桥？",
        "每个家庭无偿劳动两天。旧磨坊的橡木梁被再次使用，因为新木头遇到第一场霜冻就会开裂。",
        ("作者对石桥有什么看法？", "文章中提到了哪些建桥材料？"),
        ("根据文本，每个家庭出了两天的劳力。", "如上所述，他们用了橡木梁。"),
        ("很抱歉，我无法回答这个问题。", "作为一个人工智能，我没有自己的看法。"),
        ("当然！他们用了橡木梁。", "回答：他们用了橡木梁。"),
        ("移民们重建了石桥吗？", "新砍的木头是否会开裂？"),
    ),
    "ja": Texts(
        "入植者たちは冬が来る前に石橋を建て直した。新しい木材は霜で割れてしまうので、古い水車小屋の樫の梁を使った。どの家族も二日間の労働を出し、誰も報酬を受け取らなかった。",
        "入植者たちはお金なしでどのように橋を建て直したか。",
        "どの家族も二日間無償で働いた。新しい木は最初の霜で割れてしまうため、古い水車小屋の樫の梁がもう一度使われた。",
        ("筆者は橋について何と述べているか。", "この文章で使われた木材は何か。"),
        ("本文によると、どの家族も二日間働いた。", "前述のとおり、樫の梁が使われた。"),
        (
            "申し訳ありませんが、そのご依頼にはお応えできません。",
            "AIとして、橋についての意見はありません。",
        ),
        ("もちろんです。樫の梁が使われました。", "答え：樫の梁が使われた。"),
        ("入植者たちは橋を建て直しましたか？", "新しい木材は霜で割れますか？"),
    ),
    "ko": Texts(
        "정착민들은 겨울이 오기 전에 돌다리를 다시 지었다. 새 목재는 서리에 갈라졌을 것이기 때문에 낡은 방앗간의 참나무 들보를 썼다. 모든 가족이 이틀씩 일을 했고 아무도 품삯을 받지 않았다.",
        "정착민들은 돈 없이 어떻게 다리를 다시 지었는가?",
        "모든 가족이 품삯 없이 이틀씩 일했다. 새 목재는 첫 서리에 갈라졌을 것이므로 낡은 방앗간의 참나무 들보를 다시 썼다.",
        ("저자는 다리에 대해 무엇이라고 말하는가?", "이 글에서 사용된 목재는 무엇인가?"),
        ("본문에 따르면 모든 가족이 이틀씩 일했다.", "앞서 언급한 대로 참나무 들보를 썼다."),
        ("죄송하지만 그 요청은 도와드릴 수 없습니다.", "인공지능 언어 모델로서 의견이 없습니다."),
        ("물론입니다. 참나무 들보를 썼습니다.", "답변: 참나무 들보를 썼다."),
        ("정착민들이 다리를 다시 지었나요?", "새 목재는 서리에 갈라집니까?"),
    ),
    "ar": Texts(
        "أعاد المستوطنون بناء الجسر الحجري قبل قدوم الشتاء. استعملوا عوارض البلوط من الطاحونة القديمة لأن الخشب الجديد كان سيتشقق في الصقيع. قدمت كل أسرة يومين من العمل ولم يتقاض أحد أجرا.",
        "كيف تمكن المستوطنون من إعادة بناء جسرهم دون مال؟",
        "عملت كل أسرة يومين بلا أجر. واستعملت عوارض البلوط من الطاحونة القديمة مرة أخرى لأن الخشب الجديد كان سيتشقق مع أول صقيع.",
        ("ماذا يقول الكاتب عن الجسر؟", "ما الذي ورد في النص عن الجسر؟"),
        ("وفقا للنص قدمت كل أسرة يومين.", "بحسب النص استعملت عوارض البلوط."),
        ("عذرا، لا أستطيع المساعدة في هذا الطلب.", "كنموذج لغوي ليس لدي رأي في الجسور."),
        ("بالتأكيد، استعملوا عوارض البلوط.", "الإجابة: استعملوا عوارض البلوط."),
        ("هل أعاد المستوطنون بناء الجسر؟", "هل البلوط أفضل من الخشب الجديد؟"),
    ),
    "hi": Texts(
        "बसने वालों ने सर्दी आने से पहले पत्थर का पुल फिर से बनाया। उन्होंने पुरानी चक्की की बलूत की कड़ियाँ लगाईं, क्योंकि नई लकड़ी पाले में फट जाती। हर परिवार ने दो दिन काम किया और किसी को मज़दूरी नहीं मिली।",
        "बसने वालों ने बिना पैसे के अपना पुल फिर से कैसे बनाया?",
        "हर परिवार ने दो दिन बिना मज़दूरी के काम किया। पुरानी चक्की की बलूत की कड़ियाँ दोबारा लगाई गईं, क्योंकि नई लकड़ी पहले पाले में ही फट जाती।",
        ("लेखक पुल के बारे में क्या कहता है?", "पाठ में पुल के बारे में क्या बताया गया है?"),
        ("पाठ के अनुसार हर परिवार ने दो दिन काम किया।", "ऊपर बताए गए कारण से बलूत की कड़ियाँ लगाई गईं।"),
        ("मुझे खेद है, इस अनुरोध में मदद नहीं हो सकती।", "भाषा मॉडल के रूप में मेरी कोई राय नहीं है।"),
        ("ज़रूर, उन्होंने बलूत की कड़ियाँ लगाईं।", "उत्तर: उन्होंने बलूत की कड़ियाँ लगाईं।"),
        ("क्या यह पुल फिर से बना?", "क्या कोई मज़दूरी मिली?"),
    ),
    "th": Texts(
        "ผู้ตั้งถิ่นฐานสร้างสะพานหินขึ้นใหม่ก่อนที่ฤดูหนาวจะมาถึง พวกเขาใช้คานไม้โอ๊กจากโรงสีเก่า เพราะไม้ใหม่จะแตกเมื่อเจอน้ำค้างแข็ง แต่ละครอบครัวลงแรงสองวันและไม่มีใครได้รับค่าจ้าง",
        "ผู้ตั้งถิ่นฐานสร้างสะพานขึ้นใหม่โดยไม่มีเงินได้อย่างไร",
        "แต่ละครอบครัวทำงานสองวันโดยไม่คิดค่าแรง คานไม้โอ๊กของโรงสีเก่าถูกนำกลับมาใช้อีกครั้ง เพราะไม้ใหม่จะแตกตั้งแต่น้ำค้างแข็งครั้งแรก",
        ("ผู้เขียนกล่าวถึงสะพานว่าอย่างไร", "ในบทความมีการใช้ไม้ชนิดใด"),
        ("ตามข้อความ แต่ละครอบครัวลงแรงสองวัน", "ผู้เขียนอธิบายว่าใช้คานไม้โอ๊ก"),
        ("ขออภัย ฉันไม่สามารถตอบคำขอนี้ได้", "ในฐานะโมเดลภาษา ไม่มีความเห็นเรื่องสะพาน"),
        ("แน่นอน พวกเขาใช้คานไม้โอ๊ก", "คำตอบ: พวกเขาใช้คานไม้โอ๊ก"),
        ("ผู้ตั้งถิ่นฐานสร้างสะพานขึ้นใหม่หรือไม่", "ไม้ใหม่จะแตกใช่ไหม"),
    ),
    "vi": Texts(
        "Những người định cư đã xây lại cây cầu đá trước khi mùa đông đến. Họ dùng các thanh gỗ sồi của cối xay cũ, vì gỗ mới sẽ nứt khi gặp sương giá. Mỗi gia đình góp hai ngày công và không ai được trả tiền.",
        "Những người định cư đã xây lại cây cầu như thế nào khi không có tiền?",
        "Mỗi gia đình làm việc hai ngày không lấy công. Các thanh gỗ sồi của cối xay cũ được dùng lại một lần nữa, bởi gỗ mới sẽ nứt ngay từ đợt sương giá đầu tiên.",
        ("Tác giả nói gì về cây cầu?", "Trong văn bản có kể gì về cây cầu?"),
        ("Theo tác giả, mỗi gia đình góp hai ngày.", "Đoạn văn này cho biết họ dùng gỗ sồi."),
        (
            "Tôi xin lỗi, tôi không thể giúp yêu cầu này.",
            "Là một mô hình ngôn ngữ, tôi không có ý kiến.",
        ),
        ("Tất nhiên rồi! Họ dùng gỗ sồi.", "Câu trả lời: họ dùng gỗ sồi."),
        ("Có phải họ đã xây lại cây cầu?", "Gỗ mới sẽ nứt, có đúng không?"),
    ),
    "tr": Texts(
        "Yerleşimciler taş köprüyü kış gelmeden yeniden inşa ettiler. Yeni kereste donda çatlayacağı için eski değirmenin meşe kirişlerini kullandılar. Her aile iki gün çalıştı ve kimseye para ödenmedi.",
        "Yerleşimciler parasız köprülerini nasıl yeniden inşa ettiler?",
        "Her aile iki gün ücretsiz çalıştı. Yeni kereste ilk donda çatlayacağından eski değirmenin meşe kirişleri bir kez daha kullanıldı.",
        ("Yazar köprü hakkında ne diyor?", "Metinde köprü hakkında ne anlatılıyor?"),
        (
            "Metne göre her aile iki gün çalıştı.",
            "Yukarıda belirtilen nedenle meşe kirişler kullanıldı.",
        ),
        (
            "Üzgünüm, bu istekte yardımcı olamam.",
            "Bir dil modeli olarak köprüler hakkında görüşüm yok.",
        ),
        ("Elbette! Meşe kirişler kullanıldı.", "Cevap: meşe kirişler kullanıldı."),
        ("Yerleşimciler köprüyü inşa etti mi?", "Yeni kereste donda çatlar mı?"),
    ),
}
